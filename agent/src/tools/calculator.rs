//! Works sums out, which small models cannot.

use super::{Call, Field, Limits, Spec, Tool};
use tools::sum::{SUM_BYTES_MAX, work_out};

pub struct Calculator;

impl Tool for Calculator {
    fn spec(&self) -> Spec {
        let about = "the sum, such as (19.99 + 5) * 3 - 10%, or sqrt(2)^3";
        Spec::new("calculator", "Works a sum out exactly.").field(Field::text("sum", about, SUM_BYTES_MAX))
    }

    fn run(&self, call: &Call, _: &Limits<'_>) -> Result<String, String> {
        let sum = call.text("sum").unwrap_or_default();
        let number = work_out(sum).map_err(|error| error.to_string())?;
        Ok(match number.starts_with("about") {
            true => format!("{sum} is {number}"),
            false => format!("{sum} = {number}"),
        })
    }
}
