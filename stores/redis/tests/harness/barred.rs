//! Tokens that were cancelled while they were asked for, which stand among a lock's waiters for a
//! minute and are none.

use tenure_bed::Reply;

/// Whether these waiters of a lock are none, but tokens that were cancelled while they were asked
/// for.
pub(crate) fn are_all(fields: &Reply) -> bool {
    let pairs = fields.list().chunks(2);
    let mut pairs = pairs.filter_map(|pair| Some((pair.first()?, pair.get(1)?)));
    !fields.list().is_empty()
        && pairs.all(|(name, value)| name.bytes() == b"barred" || value.bytes().starts_with(b"x "))
}
