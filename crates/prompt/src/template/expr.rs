//! Walks the expressions of a template.

use minijinja::machinery::ast::{
    BinOpKind, Call, CallArg, CompareOpKind, Expr, GetAttr, GetItem, Slice, UnaryOpKind,
};

use super::budget::{Fault, Outcome, wrong};
use super::convert::from_constant;
use super::eval::Evaluator;
use super::value::{Loop, Value};
use super::{asks, filters, methods, ops};

/// `range` makes a list at once, so it must be short.
const RANGE_MAX: i64 = 10_000;

/// Arguments of a call.
#[derive(Debug, Default)]
pub struct Args {
    pub given: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl Args {
    /// An argument by place or by name.
    pub fn get(&self, idx: usize, name: &str) -> Option<&Value> {
        self.given
            .get(idx)
            .or_else(|| self.named.iter().find(|(known, _)| known == name).map(|(_, value)| value))
    }

    pub fn text(&self, idx: usize, name: &str) -> Outcome<Option<&str>> {
        match self.get(idx, name) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => wrong(format!("{name} is a text, not {}", other.kind())),
        }
    }

    pub fn int(&self, idx: usize, name: &str) -> Outcome<Option<i64>> {
        match self.get(idx, name) {
            None | Some(Value::None) => Ok(None),
            Some(value) => match value.as_int() {
                Some(value) => Ok(Some(value)),
                None => wrong(format!("{name} is a whole number, not {}", value.kind())),
            },
        }
    }

    pub fn is_true(&self, idx: usize, name: &str) -> bool {
        self.get(idx, name).is_some_and(Value::is_true)
    }
}

impl<'t> Evaluator<'t> {
    pub fn eval(&mut self, expr: &'t Expr<'t>) -> Outcome<Value> {
        self.budget.steps(1)?;
        self.budget.deeper()?;
        let value = self.eval_inner(expr);
        self.budget.shallower();
        value
    }

    fn eval_inner(&mut self, expr: &'t Expr<'t>) -> Outcome<Value> {
        match expr {
            Expr::Var(name) => Ok(self.lookup(name.id)),
            Expr::Const(constant) => from_constant(&constant.value, &mut self.budget),
            Expr::GetAttr(attribute) => self.attribute(attribute),
            Expr::GetItem(item) => self.item(item),
            Expr::Slice(slice) => self.slice(slice),
            Expr::Call(call) => self.call(call),
            Expr::Filter(filter) => {
                let value = match &filter.expr {
                    Some(expr) => self.eval(expr)?,
                    None => self.piped.take().unwrap_or(Value::Undefined),
                };
                let args = self.args(&filter.args)?;
                filters::apply(self, filter.name, value, &args)
            }
            Expr::Test(test) => {
                let value = self.eval(&test.expr)?;
                let args = self.args(&test.args)?;
                asks::ask(test.name, &value, &args, &mut self.budget).map(Value::Bool)
            }
            Expr::UnaryOp(op) => {
                let value = self.eval(&op.expr)?;
                match op.op {
                    UnaryOpKind::Not => Ok(Value::Bool(!value.is_true())),
                    UnaryOpKind::Neg => ops::negative(&value),
                }
            }
            Expr::BinOp(op) => {
                let left = self.eval(&op.left)?;
                match op.op {
                    BinOpKind::ScAnd => return if left.is_true() { self.eval(&op.right) } else { Ok(left) },
                    BinOpKind::ScOr => return if left.is_true() { Ok(left) } else { self.eval(&op.right) },
                    _ => {}
                }
                let right = self.eval(&op.right)?;
                ops::binary(op.op, &left, &right, &mut self.budget)
            }
            Expr::Compare(compare) => {
                let mut left = self.eval(&compare.expr)?;
                for op in &compare.ops {
                    let right = self.eval(&op.expr)?;
                    if !self.compare(op.op, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expr::IfExpr(choice) => match (self.eval(&choice.test_expr)?.is_true(), &choice.false_expr) {
                (true, _) => self.eval(&choice.true_expr),
                (false, Some(expr)) => self.eval(expr),
                (false, None) => Ok(Value::Undefined),
            },
            Expr::List(list) => {
                let items = self.all(&list.items)?;
                Value::list(items, &mut self.budget)
            }
            Expr::Tuple(tuple) => {
                let items = self.all(&tuple.items)?;
                Value::tuple(items, &mut self.budget)
            }
            Expr::Map(map) => {
                let (keys, values) = (self.all(&map.keys)?, self.all(&map.values)?);
                Value::map(keys.into_iter().zip(values).collect(), &mut self.budget)
            }
        }
    }

    fn all(&mut self, exprs: &'t [Expr<'t>]) -> Outcome<Vec<Value>> {
        exprs.iter().map(|expr| self.eval(expr)).collect()
    }

    fn compare(&mut self, op: CompareOpKind, left: &Value, right: &Value) -> Outcome<bool> {
        let budget = &mut self.budget;
        match op {
            CompareOpKind::Eq => ops::equal(left, right, budget),
            CompareOpKind::Ne => Ok(!ops::equal(left, right, budget)?),
            CompareOpKind::Lt => Ok(ops::order(left, right, budget)?.is_lt()),
            CompareOpKind::Lte => Ok(ops::order(left, right, budget)?.is_le()),
            CompareOpKind::Gt => Ok(ops::order(left, right, budget)?.is_gt()),
            CompareOpKind::Gte => Ok(ops::order(left, right, budget)?.is_ge()),
            CompareOpKind::In => ops::contains(right, left, budget),
            CompareOpKind::NotIn => Ok(!ops::contains(right, left, budget)?),
        }
    }

    fn attribute(&mut self, attribute: &'t GetAttr<'t>) -> Outcome<Value> {
        let value = self.eval(&attribute.expr)?;
        // Python finds a dict's method before its key.
        if methods::is_method_of_dict(&value, attribute.name) {
            return Ok(Value::Function("method"));
        }
        self.get_attribute(&value, attribute.name)
    }

    pub fn get_attribute(&mut self, value: &Value, name: &str) -> Outcome<Value> {
        Ok(match value {
            Value::Undefined => return wrong(format!("something undefined has no .{name}")),
            Value::Map(map) => {
                self.budget.steps(map.entries.len() as u64 / 8)?;
                value.get(&Value::text(name)).cloned().unwrap_or(Value::Undefined)
            }
            Value::Namespace(idx) => self.namespaces[*idx].get(name).cloned().unwrap_or(Value::Undefined),
            Value::Loop(round) => loop_attribute(round, name),
            _ => Value::Undefined,
        })
    }

    fn item(&mut self, item: &'t GetItem<'t>) -> Outcome<Value> {
        let value = self.eval(&item.expr)?;
        let key = self.eval(&item.subscript_expr)?;
        self.get_item(&value, &key)
    }

    pub fn get_item(&mut self, value: &Value, key: &Value) -> Outcome<Value> {
        match (value, key) {
            (Value::Undefined, _) => wrong("something undefined has no items"),
            (Value::Map(map), key) => {
                self.budget.steps(map.entries.len() as u64 / 8)?;
                Ok(value.get(key).cloned().unwrap_or(Value::Undefined))
            }
            (Value::List(list), key) => {
                let idx = key.as_int().and_then(|idx| ops::index(idx, list.items.len()));
                Ok(idx.map_or(Value::Undefined, |idx| list.items[idx].clone()))
            }
            (Value::Text(text), key) => {
                self.budget.look(text.len())?;
                let n_chars = text.chars().count();
                let idx = key.as_int().and_then(|idx| ops::index(idx, n_chars));
                let c = idx.and_then(|idx| text.chars().nth(idx));
                Ok(c.map_or(Value::Undefined, |c| Value::text(c.to_string())))
            }
            (value, Value::Text(name)) => {
                let name = name.clone();
                self.get_attribute(value, &name)
            }
            _ => Ok(Value::Undefined),
        }
    }

    fn slice(&mut self, slice: &'t Slice<'t>) -> Outcome<Value> {
        let value = self.eval(&slice.expr)?;
        let mut ends = [None; 3];
        for (end, expr) in ends.iter_mut().zip([&slice.start, &slice.stop, &slice.step]) {
            let Some(expr) = expr else { continue };
            match self.eval(expr)? {
                Value::None => {}
                other => match other.as_int() {
                    Some(value) => *end = Some(value),
                    None => return wrong(format!("a slice needs whole numbers, not {}", other.kind())),
                },
            }
        }
        ops::slice(&value, ends, &mut self.budget)
    }

    pub fn args(&mut self, args: &'t [CallArg<'t>]) -> Outcome<Args> {
        let mut read = Args::default();
        for arg in args {
            match arg {
                CallArg::Pos(expr) => read.given.push(self.eval(expr)?),
                CallArg::Kwarg(name, expr) => read.named.push((name.to_string(), self.eval(expr)?)),
                CallArg::PosSplat(expr) => {
                    let value = self.eval(expr)?;
                    read.given.extend(ops::items(&value, &mut self.budget)?);
                }
                CallArg::KwargSplat(expr) => {
                    let Value::Map(map) = self.eval(expr)? else { return wrong("** needs a dict") };
                    self.budget.make(map.entries.len() * 64)?;
                    for (key, value) in &map.entries {
                        let Some(key) = key.as_text() else { return wrong("** needs texts as keys") };
                        read.named.push((key.to_string(), value.clone()));
                    }
                }
            }
        }
        Ok(read)
    }

    pub fn call(&mut self, call: &'t Call<'t>) -> Outcome<Value> {
        let Expr::GetAttr(attribute) = &call.expr else {
            let callee = self.eval(&call.expr)?;
            let args = self.args(&call.args)?;
            if let (Value::Undefined, Expr::Var(name)) = (&callee, &call.expr) {
                return wrong(format!("there is no function {}", name.id));
            }
            return self.call_value(&callee, args);
        };
        let value = self.eval(&attribute.expr)?;
        let args = self.args(&call.args)?;
        match &value {
            Value::Namespace(_) => {
                let callee = self.get_attribute(&value, attribute.name)?;
                self.call_value(&callee, args)
            }
            Value::Loop(round) if attribute.name == "cycle" && !args.given.is_empty() => {
                Ok(args.given[round.index % args.given.len()].clone())
            }
            _ => methods::call(&value, attribute.name, &args, &mut self.budget),
        }
    }

    pub fn call_value(&mut self, callee: &Value, args: Args) -> Outcome<Value> {
        match callee {
            Value::Macro(idx) => self.call_macro(*idx, args),
            Value::Function("range") => {
                let ends = [args.int(0, "start")?, args.int(1, "stop")?, args.int(2, "step")?];
                let (start, stop) =
                    if args.given.len() > 1 { (ends[0], ends[1]) } else { (Some(0), ends[0]) };
                let (Some(start), Some(stop)) = (start, stop) else {
                    return wrong("range needs whole numbers");
                };
                let step = ends[2].unwrap_or(1);
                let span = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
                let reach = match step {
                    0 => return wrong("range needs a step other than 0"),
                    step => i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX),
                };
                let count = if span <= 0 { 0 } else { (span - 1) / reach + 1 };
                if count > RANGE_MAX {
                    return wrong(format!("range has more than {RANGE_MAX} numbers"));
                }
                Value::list((0..count).map(|n| Value::Int(start + n * step)).collect(), &mut self.budget)
            }
            Value::Function("namespace") => {
                let mut names = Vec::new();
                for value in &args.given {
                    let Value::Map(map) = value else { return wrong("namespace takes a dict or names") };
                    self.budget.make(map.entries.len() * 64)?;
                    let pairs = map
                        .entries
                        .iter()
                        .filter_map(|(key, value)| Some((key.as_text()?.to_string(), value.clone())));
                    names.extend(pairs);
                }
                names.extend(args.named);
                self.budget.make(names.len() * 64 + 64)?;
                self.namespaces.push(names.into_iter().collect());
                Ok(Value::Namespace(self.namespaces.len() - 1))
            }
            Value::Function("raise_exception") => {
                let what = args
                    .given
                    .first()
                    .map_or(Ok(String::new()), |value| super::print::shown(value, &mut self.budget))?;
                Err(Fault::Refused(what))
            }
            Value::Function("strftime_now") => match args.text(0, "format")? {
                Some(format) => {
                    self.budget.make(format.len() * 10)?;
                    self.now.format(format).map(Value::text)
                }
                None => wrong("strftime_now needs a format"),
            },
            Value::Function("dict") => {
                let mut entries = match args.given.first() {
                    Some(Value::Map(map)) => map.entries.clone(),
                    Some(_) => return wrong("dict takes a dict or names"),
                    None => Vec::new(),
                };
                entries.extend(args.named.into_iter().map(|(name, value)| (Value::text(name), value)));
                Value::map(entries, &mut self.budget)
            }
            other => wrong(format!("{} cannot be called", other.kind())),
        }
    }
}

fn loop_attribute(round: &Loop, name: &str) -> Value {
    let int = |value: usize| Value::Int(value as i64);
    match name {
        "index" => int(round.index + 1),
        "index0" => int(round.index),
        "revindex" => int(round.length - round.index),
        "revindex0" => int(round.length - round.index - 1),
        "first" => Value::Bool(round.index == 0),
        "last" => Value::Bool(round.index + 1 == round.length),
        "length" => int(round.length),
        "depth" => int(round.depth),
        "depth0" => int(round.depth - 1),
        "previtem" => round.previous.clone(),
        "nextitem" => round.next.clone(),
        _ => Value::Undefined,
    }
}
