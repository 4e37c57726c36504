//! What a build will need, before it starts.

use crate::builder::{BuildError, BuildParams, ItemSource};

/// x
#[derive(Clone, Debug)]
pub struct BuildPlan {}
/// x
pub fn plan(_source: &mut dyn ItemSource, _params: &BuildParams) -> Result<BuildPlan, BuildError> {
    Ok(BuildPlan {})
}
pub(super) fn placement(
    _source: &dyn ItemSource,
    _params: &BuildParams,
) -> Result<bool, BuildError> {
    Ok(false)
}
