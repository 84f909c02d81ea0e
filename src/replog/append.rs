//! Encoding behind what a buffer holds already, so that nothing is copied from one to the next.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

struct Behind<'a>(&'a mut Vec<u8>);

impl Flavor for Behind<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends the postcard of `value` to `out`.
pub fn encoded(value: &impl Serialize, out: &mut Vec<u8>) {
    postcard::serialize_with_flavor(value, Behind(out)).expect("plain data always encodes");
}
