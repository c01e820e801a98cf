//! How far a pull is, from what Docker says layer by layer.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;

use crate::engine::Progress;

/// The layers that are being fetched, by id: what was fetched of each, and its size.
#[derive(Debug, Default)]
pub(super) struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    /// Takes over one message. Layers that are there already have no size, and do not count.
    pub(super) fn see(&mut self, message: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&message.id, message.status.as_deref()) else { return };
        match status {
            "Downloading" => {
                let detail = message.progress_detail.as_ref();
                let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
                let total = number(detail.and_then(|detail| detail.total)).unwrap_or_default();
                let current = number(detail.and_then(|detail| detail.current)).unwrap_or_default();
                self.0.insert(id.clone(), (current.min(total), total));
            }
            "Verifying Checksum" | "Download complete" | "Extracting" | "Pull complete" => {
                if let Some((done, total)) = self.0.get_mut(id) {
                    *done = *total;
                }
            }
            _ => {}
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let sum = |sum: Progress, &(done, total): &(u64, u64)| Progress {
            done: sum.done.saturating_add(done),
            total: sum.total.saturating_add(total),
        };
        self.0.values().fold(Progress::default(), sum)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn layers_add_up_and_those_that_are_here_already_do_not_count() {
        let mut layers = Layers::default();
        let mut see = |id: &str, status: &str, current, total| {
            layers.see(&CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some(status.to_owned()),
                progress_detail: Some(ProgressDetail { current, total }),
                ..Default::default()
            });
            layers.progress()
        };
        assert_eq!(see("1.27", "Pulling from library/nginx", None, None), Progress::default());
        assert_eq!(see("a", "Already exists", None, None), Progress::default());
        assert_eq!(see("b", "Downloading", Some(10), Some(100)), Progress { done: 10, total: 100 });
        assert_eq!(see("c", "Downloading", Some(5), Some(50)), Progress { done: 15, total: 150 });
        assert_eq!(see("b", "Download complete", None, None), Progress { done: 105, total: 150 });
        assert_eq!(see("b", "Extracting", Some(1), Some(300)), Progress { done: 105, total: 150 });
    }
}
