//! Walks the statements of a template: output, scopes, loops and macros.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::machinery::ast::{Call, Expr, ForLoop, Macro, Stmt};

use super::budget::{Budget, Fault, Outcome, wrong};
use super::convert::from_json;
use super::expr::Args;
use super::value::{Loop, Value};
use super::{ChatInput, CivilTime, ops, print};

type Scope<'t> = BTreeMap<&'t str, Value>;

/// How a row of statements ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    On,
    Break,
    Continue,
}

/// A macro, and for the body of a `call` what could be seen where it stands.
#[derive(Clone)]
struct Known<'t> {
    declared: &'t Macro<'t>,
    seen: Vec<Scope<'t>>,
}

pub struct Evaluator<'t> {
    pub budget: Budget,
    pub out: String,
    pub line: usize,
    pub now: CivilTime,
    /// The first is the template's own; the others are those of loops, blocks and macros.
    scopes: Vec<Scope<'t>>,
    pub namespaces: Vec<BTreeMap<String, Value>>,
    macros: Vec<Known<'t>>,
    /// What a filter without an expression is applied to.
    pub piped: Option<Value>,
    n_loops: usize,
}

const FUNCTIONS: [&str; 5] = ["range", "namespace", "raise_exception", "strftime_now", "dict"];

impl<'t> Evaluator<'t> {
    pub fn new(budget: Budget, now: CivilTime) -> Evaluator<'t> {
        Evaluator {
            budget,
            out: String::new(),
            line: 0,
            now,
            scopes: vec![Scope::new()],
            namespaces: Vec::new(),
            macros: Vec::new(),
            piped: None,
            n_loops: 0,
        }
    }

    pub fn set_input<'i: 't>(&mut self, input: &ChatInput<'i>) -> Outcome<()> {
        for name in FUNCTIONS {
            self.scopes[0].insert(name, Value::Function(name));
        }
        let list = |items: &[crate::Json], budget: &mut Budget| {
            let items = items.iter().map(|item| from_json(item, budget)).collect::<Outcome<_>>()?;
            Value::list(items, budget)
        };
        let messages = list(input.messages, &mut self.budget)?;
        let tools = input.tools.map_or(Ok(Value::None), |tools| list(tools, &mut self.budget))?;
        let given = [
            ("messages", messages),
            ("tools", tools),
            ("documents", Value::None),
            ("add_generation_prompt", Value::Bool(input.add_generation_prompt)),
            ("bos_token", Value::text(input.bos_token)),
            ("eos_token", Value::text(input.eos_token)),
        ];
        self.scopes[0].extend(given);
        for (name, value) in input.extra {
            let value = from_json(value, &mut self.budget)?;
            self.scopes[0].insert(name, value);
        }
        Ok(())
    }

    pub fn block(&mut self, statements: &'t [Stmt<'t>]) -> Outcome<Flow> {
        self.budget.deeper()?;
        for statement in statements {
            let flow = self.statement(statement)?;
            if flow != Flow::On {
                self.budget.shallower();
                return Ok(flow);
            }
        }
        self.budget.shallower();
        Ok(Flow::On)
    }

    fn statement(&mut self, statement: &'t Stmt<'t>) -> Outcome<Flow> {
        self.budget.steps(1)?;
        match statement {
            Stmt::EmitRaw(raw) => self.emit(raw.raw)?,
            Stmt::EmitExpr(emit) => {
                self.line = emit.span().start_line.into();
                match self.eval(&emit.expr)? {
                    Value::Text(text) => self.emit(&text)?,
                    value => {
                        let text = print::shown(&value, &mut self.budget)?;
                        self.emit(&text)?;
                    }
                }
            }
            Stmt::IfCond(cond) => {
                self.line = cond.span().start_line.into();
                let is_true = self.eval(&cond.expr)?.is_true();
                return self.block(if is_true { &cond.true_body } else { &cond.false_body });
            }
            Stmt::ForLoop(each) => {
                self.line = each.span().start_line.into();
                self.for_loop(each)?;
            }
            Stmt::Set(set) => {
                self.line = set.span().start_line.into();
                let value = self.eval(&set.expr)?;
                self.assign(&set.target, value)?;
            }
            Stmt::SetBlock(set) => {
                self.line = set.span().start_line.into();
                let text = self.captured(&set.body, Scope::new())?;
                let value = self.filtered(set.filter.as_ref(), text)?;
                self.assign(&set.target, value)?;
            }
            Stmt::FilterBlock(block) => {
                let text = self.captured(&block.body, Scope::new())?;
                let value = self.filtered(Some(&block.filter), text)?;
                let text = print::shown(&value, &mut self.budget)?;
                self.emit(&text)?;
            }
            Stmt::WithBlock(with) => {
                let mut scope = Scope::new();
                for (target, expr) in &with.assignments {
                    let value = self.eval(expr)?;
                    bind(&mut scope, target, value, &mut self.budget)?;
                }
                return self.scoped(scope, &with.body);
            }
            Stmt::AutoEscape(block) => return self.block(&block.body),
            Stmt::Macro(declared) => {
                self.macros.push(Known { declared, seen: Vec::new() });
                let value = Value::Macro(self.macros.len() - 1);
                self.set(declared.name, value)?;
            }
            Stmt::CallBlock(block) => {
                self.line = block.span().start_line.into();
                let value = self.call_block(&block.call, &block.macro_decl)?;
                let text = print::shown(&value, &mut self.budget)?;
                self.emit(&text)?;
            }
            Stmt::Do(run) => {
                self.line = run.span().start_line.into();
                self.call(&run.call)?;
            }
            Stmt::Break(_) => return Ok(Flow::Break),
            Stmt::Continue(_) => return Ok(Flow::Continue),
            Stmt::Template(inner) => return self.block(&inner.children),
        }
        Ok(Flow::On)
    }

    fn emit(&mut self, text: &str) -> Outcome<()> {
        self.budget.make(text.len())?;
        if self.out.len() + text.len() > self.budget.output_bytes() {
            return Err(Fault::UsedUp("the prompt's length"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn scoped(&mut self, scope: Scope<'t>, body: &'t [Stmt<'t>]) -> Outcome<Flow> {
        self.scopes.push(scope);
        let flow = self.block(body);
        self.scopes.pop();
        flow
    }

    /// Runs a body and gives what it would have put out.
    fn captured(&mut self, body: &'t [Stmt<'t>], scope: Scope<'t>) -> Outcome<Value> {
        let outer = std::mem::take(&mut self.out);
        self.scoped(scope, body)?;
        Ok(Value::text(std::mem::replace(&mut self.out, outer)))
    }

    fn filtered(&mut self, filter: Option<&'t Expr<'t>>, value: Value) -> Outcome<Value> {
        let Some(filter) = filter else { return Ok(value) };
        let outer = self.piped.replace(value);
        let filtered = self.eval(filter);
        self.piped = outer;
        filtered
    }

    pub fn lookup(&self, name: &str) -> Value {
        self.scopes.iter().rev().find_map(|scope| scope.get(name)).cloned().unwrap_or(Value::Undefined)
    }

    fn set(&mut self, name: &'t str, value: Value) -> Outcome<()> {
        let Some(scope) = self.scopes.last_mut() else { return wrong("no scope is open") };
        scope.insert(name, value);
        Ok(())
    }

    fn assign(&mut self, target: &'t Expr<'t>, value: Value) -> Outcome<()> {
        if let Expr::GetAttr(attribute) = target {
            let Value::Namespace(idx) = self.eval(&attribute.expr)? else {
                return wrong(format!("only a namespace takes .{} = ...", attribute.name));
            };
            self.budget.make(attribute.name.len())?;
            self.namespaces[idx].insert(attribute.name.to_string(), value);
            return Ok(());
        }
        let mut scope = self.scopes.pop().unwrap_or_default();
        let bound = bind(&mut scope, target, value, &mut self.budget);
        self.scopes.push(scope);
        bound
    }

    fn for_loop(&mut self, each: &'t ForLoop<'t>) -> Outcome<()> {
        if each.recursive {
            return wrong("recursive loops are not understood");
        }
        let over = self.eval(&each.iter)?;
        let mut items = ops::items(&over, &mut self.budget)?;
        if let Some(filter) = &each.filter_expr {
            let mut kept = Vec::new();
            for item in items {
                let mut scope = Scope::new();
                bind(&mut scope, &each.target, item.clone(), &mut self.budget)?;
                self.scopes.push(scope);
                let is_kept = self.eval(filter).map(|value| value.is_true());
                self.scopes.pop();
                if is_kept? {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(Scope::new(), &each.else_body).map(drop);
        }
        self.n_loops += 1;
        for (index, item) in items.iter().enumerate() {
            self.budget.steps(1)?;
            let at =
                |idx: Option<usize>| idx.and_then(|idx| items.get(idx)).cloned().unwrap_or(Value::Undefined);
            let round = Loop {
                index,
                length: items.len(),
                depth: self.n_loops,
                previous: at(index.checked_sub(1)),
                next: at(index.checked_add(1)),
            };
            let mut scope = Scope::from([("loop", Value::Loop(Arc::new(round)))]);
            bind(&mut scope, &each.target, item.clone(), &mut self.budget)?;
            if self.scoped(scope, &each.body)? == Flow::Break {
                break;
            }
        }
        self.n_loops -= 1;
        Ok(())
    }

    fn call_block(&mut self, call: &'t Call<'t>, declared: &'t Macro<'t>) -> Outcome<Value> {
        let n_names: usize = self.scopes[1..].iter().map(BTreeMap::len).sum();
        self.budget.make(n_names * 64)?;
        self.macros.push(Known { declared, seen: self.scopes[1..].to_vec() });
        let caller = Value::Macro(self.macros.len() - 1);
        let callee = self.eval(&call.expr)?;
        let mut args = self.args(&call.args)?;
        args.named.push(("caller".to_string(), caller));
        self.call_value(&callee, args)
    }

    /// Runs a macro: it sees the template's own names and its arguments.
    pub fn call_macro(&mut self, idx: usize, args: Args) -> Outcome<Value> {
        let n_seen: usize = self.macros[idx].seen.iter().map(BTreeMap::len).sum();
        self.budget.make(n_seen * 64)?;
        let Known { declared, seen } = self.macros[idx].clone();
        let n_args = declared.args.len();
        if args.given.len() > n_args {
            return wrong(format!("{} takes at most {n_args} arguments", declared.name));
        }
        let mut scope = Scope::new();
        let mut given = args.given.into_iter();
        let mut named = args.named;
        let inner = self.scopes.split_off(1);
        self.scopes.extend(seen);
        let bound = (|| {
            for (at, target) in declared.args.iter().enumerate() {
                let Expr::Var(name) = target else { return wrong("a macro's argument is a name") };
                let by_name = named.iter().position(|(known, _)| known == name.id);
                let value = match (given.next(), by_name) {
                    (Some(value), _) => value,
                    (None, Some(at)) => named.remove(at).1,
                    (None, None) => match (at + declared.defaults.len()).checked_sub(n_args) {
                        Some(default) => self.eval(&declared.defaults[default])?,
                        None => Value::Undefined,
                    },
                };
                scope.insert(name.id, value);
            }
            if let Some(at) = named.iter().position(|(name, _)| name == "caller") {
                scope.insert("caller", named.remove(at).1);
            }
            match named.first() {
                Some((name, _)) => wrong(format!("{} takes no argument named {name}", declared.name)),
                None => self.captured(&declared.body, scope),
            }
        })();
        self.scopes.truncate(1);
        self.scopes.extend(inner);
        bound
    }
}

/// Binds a name, or several to the items of a list.
fn bind<'t>(scope: &mut Scope<'t>, target: &'t Expr<'t>, value: Value, budget: &mut Budget) -> Outcome<()> {
    let targets = match target {
        Expr::Var(name) => {
            scope.insert(name.id, value);
            return Ok(());
        }
        Expr::List(list) => &list.items,
        Expr::Tuple(tuple) => &tuple.items,
        _ => return wrong("only names can be set"),
    };
    let items = ops::items(&value, budget)?;
    if items.len() != targets.len() {
        return wrong(format!("{} values for {} names", items.len(), targets.len()));
    }
    for (target, item) in targets.iter().zip(items) {
        bind(scope, target, item, budget)?;
    }
    Ok(())
}
