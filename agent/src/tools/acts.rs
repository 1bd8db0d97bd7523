//! Tools that act on a node as a whole: this one, or another by its name.
//!
//! Each waits for a person's yes, who reads what happens and where in plain words (`will_do`).

use super::{Call, Field, Limits, Spec, Tool};
use crate::acts;
use crate::serve::acting::letter::{Act, SAID_BYTES_MAX};
use crate::serve::acting::{Acting, TIME_MAX};
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;

const NAME_BYTES_MAX: usize = 64;

/// One of [`specs`].
pub struct Acts {
    pub spec: Spec,
    pub runtime: Handle,
    /// It keeps nothing of the agent alive.
    pub acting: Weak<Acting>,
}

pub fn specs() -> Vec<Spec> {
    let node = || {
        Field::text("node", "the name of the computer; this one where it is left out", NAME_BYTES_MAX)
            .optional()
    };
    let anyway = || Field::yes_no("anyway", "even if what only that computer remembers is lost").optional();
    let units: Vec<&str> = acts::UNITS.into_iter().map(|unit| unit.trim_end_matches(".service")).collect();
    let spec = |name, about| Spec::new(name, about).ask().seconds(TIME_MAX.as_secs() as u32 + 5);
    vec![
        spec("power.off", "Switches a computer of this home off.").field(node()).field(anyway()),
        spec("power.reboot", "Boots a computer of this home anew.").field(node()).field(anyway()),
        spec("cluster.restart", "Starts one program of a computer anew.")
            .field(Field::choice("unit", "which program", &units))
            .field(node()),
        spec("cluster.drain", "Has a computer take no new work and give its models to others.").field(node()),
        spec("cluster.resume", "Has a drained computer take work again.").field(node()),
        spec("cluster.say", "Says something aloud at another computer of this home.")
            .field(Field::text("node", "the name of the computer", NAME_BYTES_MAX))
            .field(Field::text("text", "what is said", SAID_BYTES_MAX)),
    ]
}

impl Acts {
    pub fn all(acting: &Arc<Acting>, runtime: &Handle) -> Vec<Arc<dyn Tool>> {
        let tool = |spec| Acts { spec, runtime: runtime.clone(), acting: Arc::downgrade(acting) };
        specs().into_iter().map(|spec| Arc::new(tool(spec)) as Arc<dyn Tool>).collect()
    }
}

impl Tool for Acts {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn will_do(&self, call: &Call) -> Option<String> {
        let place = self.acting.upgrade()?.place(call.text("node").unwrap_or_default());
        Some(Act::of(call)?.at(&place))
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        let acting = self.acting.upgrade().ok_or("the agent ends")?;
        let act = Act::of(call).ok_or_else(|| format!("{} is no act on a node", call.tool))?;
        let name = call.text("node").unwrap_or_default().to_owned();
        let done = acting.act(&name, act, &call.asker.who);
        let within = async { tokio::time::timeout(limits.left(), done).await };
        self.runtime.block_on(within).unwrap_or_else(|_| Err("there was no time for it".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tools::{Asker, Origin, Risk, Wanted};

    #[test]
    fn each_of_them_asks_a_person_and_is_an_act() {
        for spec in specs() {
            assert_eq!(spec.risk, Risk::Ask, "{}", spec.name);
            let arguments = serde_json::json!({ "unit": "agent", "text": "Dinner.", "node": "pc2" });
            let fits = |name: &String| spec.fields.iter().any(|field| field.name == *name);
            let mut arguments = arguments.as_object().unwrap().clone();
            arguments.retain(|name, _| fits(name));
            let wanted = Wanted { tool: spec.name.clone(), arguments };
            let asker = Asker { origin: Origin::Person, who: "a test".into(), talk: None };
            let call = Call::new(&spec.clone().good().unwrap(), &wanted, asker).unwrap();
            assert_eq!(Act::of(&call).unwrap().tool(), spec.name);
        }
    }
}
