//! Reads ranges of keys, of any size, at one revision.

use etcd_client::{GetOptions, GetResponse, ResponseHeader};
use skep_api::key::Key;

use crate::classify;
use crate::error::Error;
use crate::range::{KeyValue, Listing, Range};
use crate::store::{DECODE_MAX_BYTES, Store};

/// Keys of the first page, when nothing is known of their size.
const FIRST_PAGE_KEYS: i64 = 1000;
/// The size that a page should have: small pages are quadratic on etcd 3.4, large ones are slow to decode.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How much more than the last page a page may ask for, as sizes differ.
const PAGE_GROWTH: i64 = 4;
/// How often a list starts again because etcd compacted its revision away meanwhile.
const MAX_STARTS: usize = 5;

/// A list on its way: the revision of its first page holds for all.
struct Pages {
    revision: i64,
    limit: i64,
    entries: Vec<KeyValue>,
}

impl Store {
    /// The key as it is now: a linearizable read. The listing has one entry or none.
    pub async fn get(&self, key: &Key) -> Result<Listing, Error> {
        self.list(&Range::key(key)).await
    }

    /// What lies in `range` now: a linearizable read, in pages at one revision.
    ///
    /// Errors: [`Error::Restored`] if that revision lies below one that was seen before.
    pub async fn list(&self, range: &Range) -> Result<Listing, Error> {
        self.list_all(std::slice::from_ref(range)).await
    }

    /// What lies in several disjoint ranges, all at the same revision.
    pub async fn list_all(&self, ranges: &[Range]) -> Result<Listing, Error> {
        let mut result = self.list_once(ranges).await;
        for _ in 1..MAX_STARTS {
            match result {
                Err(Error::Compacted(_)) => result = self.list_once(ranges).await,
                done => return done,
            }
        }
        result
    }

    async fn list_once(&self, ranges: &[Range]) -> Result<Listing, Error> {
        let floor = self.seen();
        let mut pages = Pages { revision: 0, limit: FIRST_PAGE_KEYS, entries: Vec::new() };
        for range in ranges {
            let mut rest = Some(range.clone());
            while let Some(range) = rest.take() {
                let page = self.page(&range, &mut pages).await?;
                if pages.revision == 0 {
                    pages.revision = page.header().map_or(0, ResponseHeader::revision);
                    self.saw_at_least(floor, pages.revision)?;
                }
                rest = pages.take(&range, page);
            }
        }
        Ok(Listing { revision: pages.revision, entries: pages.entries })
    }

    /// One page; asks for less if the answer is longer than the client decodes.
    async fn page(&self, range: &Range, pages: &mut Pages) -> Result<GetResponse, Error> {
        loop {
            let options = options(range, pages);
            let answer = self
                .read(|client| {
                    let (key, options) = (range.start(), options.clone());
                    async move {
                        let mut kv = client.kv_client().max_decoding_message_size(DECODE_MAX_BYTES);
                        match kv.get(key, Some(options)).await {
                            Err(error) if classify::is_decode_limit(&error) => Ok(None),
                            answer => answer.map(Some),
                        }
                    }
                })
                .await;
            match answer {
                Ok(Some(page)) => return Ok(page),
                Ok(None) if pages.limit > 1 => pages.limit = (pages.limit / 8).max(1),
                Ok(None) => {
                    let (what, limit) = ("stored value (bytes)", DECODE_MAX_BYTES);
                    return Err(Error::TooLarge { what, size: limit + 1, limit });
                }
                Err(Error::Compacted(_)) => return Err(Error::Compacted(pages.revision)),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Pages {
    /// Takes a page over, adapts the next one's size to it, and returns what is left of `range`.
    fn take(&mut self, range: &Range, page: GetResponse) -> Option<Range> {
        let kvs = page.0.kvs;
        let bytes: usize = kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
        let average = bytes.checked_div(kvs.len()).unwrap_or_default().max(1);
        let fitting = i64::try_from(PAGE_BYTES / average).unwrap_or(i64::MAX);
        let rest = kvs.last().filter(|_| page.0.more).map(|last| range.after(&last.key));
        if rest.is_some() {
            self.limit = fitting.clamp(1, self.limit.saturating_mul(PAGE_GROWTH));
        }
        self.entries.extend(kvs.into_iter().map(KeyValue::from));
        rest
    }
}

fn options(range: &Range, pages: &Pages) -> GetOptions {
    let options = GetOptions::new().with_limit(pages.limit).with_revision(pages.revision);
    match range.end() {
        Some(end) => options.with_range(end),
        None => options,
    }
}
