//! Instants as people read them in tables: how long ago.

use skep_api::time::Timestamp;

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;

/// How long before `now` `then` was, in one unit (two of them when the first is small); `0s` if it was not.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.since(then).as_millis() / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..HOUR_S => two(seconds, MINUTE_S, "m", 1, "s"),
        HOUR_S..DAY_S => two(seconds, HOUR_S, "h", MINUTE_S, "m"),
        _ => two(seconds, DAY_S, "d", HOUR_S, "h"),
    }
}

fn two(seconds: u64, large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    let (whole, rest) = (seconds / large, seconds % large / small);
    if whole < 10 && rest > 0 {
        format!("{whole}{large_unit}{rest}{small_unit}")
    } else {
        format!("{whole}{large_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_the_precision_that_people_need() {
        let ages = [(0, "0s"), (119, "119s"), (125, "2m5s"), (600, "10m"), (3600, "1h"), (9000, "2h30m")];
        for (seconds, text) in ages.into_iter().chain([(90_000, "1d1h"), (40 * 86_400, "40d")]) {
            let now = Timestamp::from_millis(seconds * 1000);
            assert_eq!(ago(now, Timestamp::from_millis(0)), text);
        }
        assert_eq!(ago(Timestamp::from_millis(0), Timestamp::from_millis(5000)), "0s");
    }
}
