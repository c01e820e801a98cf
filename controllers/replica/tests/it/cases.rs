//! Every case in `tests/cases`: its file name is what must hold.

use skep_replica::Replica;
use skep_runtime::case::{Failures, check_all};

#[test]
fn every_case_in_yaml_holds() -> Result<(), Failures> {
    check_all::<Replica>(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases"))
}
