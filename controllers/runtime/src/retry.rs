//! Back-off with full jitter: after each refusal in a row a random delay from a range that doubles.

use skep_api::time::Span;

/// The range after the first refusal, in milliseconds.
const FIRST_MS: u64 = 50;
/// The largest range, in milliseconds.
const LIMIT_MS: u64 = 10_000;

/// The delay after `refusals` earlier refusals in a row.
pub fn delay(refusals: u32, random: &mut fastrand::Rng) -> Span {
    let range = FIRST_MS.saturating_mul(1 << refusals.min(16)).min(LIMIT_MS);
    Span::from_millis(random.u64(0..=range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_doubles_up_to_its_limit_and_every_delay_in_it_is_possible() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut longest = |refusals| (0..2000).map(|_| delay(refusals, &mut random).as_millis()).max();
        assert!(longest(0) <= Some(50) && longest(0) > Some(40));
        assert!(longest(3) <= Some(400) && longest(3) > Some(320));
        assert!(longest(40) <= Some(10_000) && longest(40) > Some(8_000));
    }
}
