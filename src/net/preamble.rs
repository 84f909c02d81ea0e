//! The first bytes of a connection, which name its protocol.

use super::keys::KeyKind;

/// Length of every preamble.
pub const PREAMBLE_BYTES: usize = 16;

/// What is spoken on a connection to the peers' port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// An agent to a scheduler, with the agents' key.
    Agent,
    /// A command line tool to a scheduler's replica, with the replicas' key.
    Control,
    /// A replica of the log to another, with the replicas' key.
    Replica,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Control, Self::Replica];

    /// The bytes that a dialer sends first. They are part of the Noise prologue as well.
    pub const fn preamble(self) -> &'static [u8; PREAMBLE_BYTES] {
        match self {
            Self::Agent => b"AURORA1 agent  \n",
            Self::Control => b"AURORA1 control\n",
            Self::Replica => b"AURORA1 replica\n",
        }
    }

    /// The protocol that these bytes name.
    pub fn from_preamble(bytes: &[u8; PREAMBLE_BYTES]) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.preamble() == bytes)
    }

    /// The kind of key that opens it.
    pub const fn key_kind(self) -> KeyKind {
        match self {
            Self::Agent => KeyKind::Agent,
            Self::Control | Self::Replica => KeyKind::Replica,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preambles_lead_back_and_nothing_else_does() {
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::from_preamble(protocol.preamble()), Some(protocol));
        }
        assert_eq!(Protocol::from_preamble(b"GET / HTTP/1.1\r\n"), None);
        assert_eq!(Protocol::from_preamble(&[0; PREAMBLE_BYTES]), None);
    }
}
