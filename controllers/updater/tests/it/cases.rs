//! Every case in `tests/cases`: its file name is what must hold.

use skep_runtime::case::{Failures, check_all};
use skep_updater::Updater;

#[test]
fn every_case_in_yaml_holds() -> Result<(), Failures> {
    check_all::<Updater>(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases"))
}
