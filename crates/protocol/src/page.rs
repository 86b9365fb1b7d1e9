//! Numbered pages, for lists that are read by page number: admin tables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a numbered page lies in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// Entries of the whole list.
    pub total: u64,
    /// The number of this page, from 1.
    pub page: u32,
    /// The most entries of a page.
    pub limit: u32,
    /// Pages of the whole list.
    pub total_pages: u64,
}

impl Pagination {
    /// Page `page` of `total` entries, `limit` of them (at least 1) to a page.
    pub fn new(total: u64, page: u32, limit: u32) -> Self {
        Self {
            total,
            page,
            limit,
            total_pages: total.div_ceil(u64::from(limit.max(1))),
        }
    }
}

/// A numbered page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumberedPage<T> {
    /// The entries of this page; none beyond the last one.
    pub data: Vec<T>,
    /// Where this page lies.
    pub pagination: Pagination,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_may_be_short() {
        let pages = |total, limit| Pagination::new(total, 1, limit).total_pages;
        assert_eq!((pages(0, 20), pages(1, 20), pages(20, 20)), (0, 1, 1));
        assert_eq!((pages(21, 20), pages(5, 0)), (2, 5));
    }
}
