//! `cargo xtask run`: stub.

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct RunArgs {}

pub(crate) fn run(_arguments: RunArgs) -> anyhow::Result<()> {
    anyhow::bail!("not written yet")
}
