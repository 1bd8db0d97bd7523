//! `duet plan`: which expert would live where, and why, for PCs that are described in a file.
//!
//! The plan is that of a running cluster: the same pure function of the same facts. Nothing is changed anywhere.

mod facts;
mod files;
mod show;

pub(crate) use files::experts;

use anyhow::{Context, Result, bail};
use argh::{ArgsInfo, FromArgs};
use split::place::{self, told};
use std::path::PathBuf;

/// Tell which language model would live on which PC, how fast it would speak, and why.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "plan",
    example = "What would this cluster do with the experts of this folder?\n  curl -s http://kitchen:8000/api/status > facts.json\n  duet plan --facts facts.json --experts models/experts",
    example = "As JSON:\n  duet plan --facts facts.json --json",
    note = "FILE is what a node answers on /api/status, or a short form of your own, which docs/plan.md describes.",
    error_code(1, "A file is wrong; one sentence on stderr names its line.")
)]
pub struct PlanArgs {
    /// what is known of the PCs, as JSON
    #[argh(option, arg_name = "FILE")]
    pub facts: PathBuf,
    /// the folder of the experts' files (default: models/experts)
    #[argh(option, default = "PathBuf::from(\"models/experts\")", arg_name = "DIR")]
    pub experts: PathBuf,
    /// a folder of model files, or a manifest of their shapes (default: models/manifest.toml)
    #[argh(option, default = "PathBuf::from(\"models/manifest.toml\")", arg_name = "DIR|FILE")]
    pub models: PathBuf,
    /// suppose that every PC can fetch every model
    #[argh(switch)]
    pub anywhere: bool,
    /// forget what is loaded now and plan anew
    #[argh(switch)]
    pub anew: bool,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Runs the command.
pub fn command(args: PlanArgs) -> Result<()> {
    let text = files::text(&args.facts, facts::FILE_BYTES_MAX)?;
    let found = facts::read(&text).with_context(|| format!("reading {}", args.facts.display()))?;
    let experts = files::experts(&args.experts)?;
    let models = files::models(&args.models)?;
    print!("{}", answer(&found, &experts, &models, &args)?);
    Ok(())
}

/// What is printed, for facts, experts and models that were read.
fn answer(
    found: &facts::Found,
    experts: &[split::expert::Expert],
    models: &[place::Model],
    args: &PlanArgs,
) -> Result<String> {
    if found.nodes.is_empty() {
        bail!("{} tells of no PC that is alive", args.facts.display());
    }
    let nodes: Vec<place::Node> =
        found.nodes.iter().map(|n| n.told.node(experts, args.anywhere || n.anywhere)).collect();
    let tolds: Vec<told::Told> = found.nodes.iter().map(|n| n.told.clone()).collect();
    let in_force = if args.anew { Vec::new() } else { told::in_force(&tolds, models, experts) };
    let mut plan = place::plan(&nodes, models, experts, &in_force);
    plan.reasons.extend(found.left_out.iter().cloned());
    let shown = show::Shown::new(&nodes, &plan);
    Ok(if args.json { serde_json::to_string(&shown)? + "\n" } else { shown.page() })
}

/// The same from texts and paths, for tests.
pub fn told(facts: &str, experts: &std::path::Path, models: &std::path::Path, json: bool) -> Result<String> {
    let found = facts::read(facts)?;
    let args = PlanArgs {
        facts: PathBuf::from("facts.json"),
        experts: experts.to_path_buf(),
        models: models.to_path_buf(),
        anywhere: false,
        anew: false,
        json,
    };
    answer(&found, &files::experts(experts)?, &files::models(models)?, &args)
}
