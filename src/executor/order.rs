//! The order file: all that an executor has to know of its task. Written by the agent, once.
//!
//! The types are frozen: a change is a new version of the envelope, and executors of older versions live on.

use crate::base::frame;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most bytes an order may have.
const ORDER_BYTES_MAX: usize = 16 << 20;

#[derive(Serialize, Deserialize)]
enum Envelope {
    V1(Order),
    /// The order, and which of its URIs are cached. Only where there are any: whoever reads the first version
    /// only can run all other tasks.
    V2(Order, Vec<u32>),
}

/// Who the processes run as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user's name.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the user's primary group.
    pub gid: u32,
    /// The numbers of all groups of the user.
    pub groups: Vec<u32>,
    /// The user's home in the user database.
    pub home: String,
    /// Whether the executor has to change to the user, as only root can.
    pub is_switched: bool,
}

/// A file that is put into the sandbox before the executor starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uri {
    /// Where it is.
    pub value: String,
    /// Whether an archive is unpacked.
    pub extract: bool,
    /// What it is called in the sandbox, instead of the last part of `value`.
    pub output_file: Option<String>,
    /// Whether a copy is kept for other tasks.
    #[serde(skip)]
    pub is_cached: bool,
}

/// What to run and as whom. Version 1, frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The task's id.
    pub task: String,
    /// The job's role.
    pub role: String,
    /// The job's environment.
    pub environment: String,
    /// The job's name.
    pub job: String,
    /// The number of the instance.
    pub instance: u32,
    /// The executor's name.
    pub executor: String,
    /// The job as JSON.
    pub data: String,
    /// Thousandths of a core.
    pub cpus_milli: i64,
    /// Memory in MiB.
    pub ram_mb: i64,
    /// Disk in MiB.
    pub disk_mb: i64,
    /// GPUs.
    pub gpus: i64,
    /// The ports it was given, by name.
    pub ports: Vec<(String, u16)>,
    /// Pairs for display.
    pub metadata: Vec<(String, String)>,
    /// The machine's name.
    pub hostname: String,
    /// Who the processes run as.
    pub identity: Identity,
    /// How long the processes of a killed task may take to end after SIGTERM.
    pub kill_wait_ms: u64,
    /// When the agent took the task, in milliseconds since the epoch.
    pub taken_at_ms: i64,
    /// Flags for the executor, as one text.
    pub flags: String,
    /// A program that is run in place of the executor and starts it.
    pub wrapper: Option<String>,
    /// Files that are put beside that program.
    pub wrapper_files: Vec<String>,
    /// Files that are put into the sandbox before the executor starts.
    pub uris: Vec<Uri>,
}

/// Why bytes are not an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// The frame is damaged.
    #[error("order is damaged")]
    Frame(#[from] frame::FrameError),
    /// The file ends before the order does, or goes on behind it.
    #[error("order of {0} bytes is not one whole frame")]
    Length(usize),
    /// The content is not understood.
    #[error("order is of another version or malformed")]
    Malformed,
}

impl Order {
    /// The bytes of the order file.
    pub fn encode(&self) -> Vec<u8> {
        let cached = self.uris.iter().zip(0..).filter(|(uri, _)| uri.is_cached);
        let cached: Vec<u32> = cached.map(|(_, at)| at).collect();
        let envelope = match cached.is_empty() {
            true => Envelope::V1(self.clone()),
            false => Envelope::V2(self.clone(), cached),
        };
        let payload = postcard::to_stdvec(&envelope).expect("plain values serialize into memory");
        let mut bytes = Vec::new();
        frame::encode(&payload, &mut bytes);
        bytes
    }

    /// Reads the bytes of an order file.
    ///
    /// # Errors
    ///
    /// Bytes that are not exactly one order.
    pub fn decode(bytes: &[u8]) -> Result<Self, OrderError> {
        let (payload, end) =
            frame::decode(bytes, 0, ORDER_BYTES_MAX)?.ok_or(OrderError::Length(bytes.len()))?;
        if end != bytes.len() {
            return Err(OrderError::Length(bytes.len()));
        }
        match postcard::take_from_bytes(payload) {
            Ok((Envelope::V1(order), [])) => Ok(order),
            Ok((Envelope::V2(mut order, cached), [])) => {
                for at in cached {
                    let uri = order.uris.get_mut(at as usize);
                    uri.ok_or(OrderError::Malformed)?.is_cached = true;
                }
                Ok(order)
            }
            Ok(_) | Err(_) => Err(OrderError::Malformed),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::executor) fn order(data: &str) -> Order {
        Order {
            task: "www-prod-web-0-x".to_owned(),
            role: "www".to_owned(),
            environment: "prod".to_owned(),
            job: "web".to_owned(),
            instance: 3,
            executor: "AuroraExecutor".to_owned(),
            data: data.to_owned(),
            cpus_milli: 250,
            ram_mb: 64,
            disk_mb: 128,
            gpus: 0,
            ports: vec![("http".to_owned(), 31_000)],
            metadata: vec![("k".to_owned(), "v".to_owned())],
            hostname: "one.example".to_owned(),
            identity: Identity {
                user: "www".to_owned(),
                uid: 33,
                gid: 33,
                groups: vec![33, 4],
                home: "/srv".to_owned(),
                is_switched: true,
            },
            kill_wait_ms: 60_000,
            taken_at_ms: 1_700_000_000_000,
            flags: "--nosetuid".to_owned(),
            wrapper: Some("/opt/wrap".to_owned()),
            wrapper_files: vec!["/opt/executor".to_owned()],
            uris: vec![Uri {
                value: "/f.tar".to_owned(),
                extract: true,
                output_file: Some("g".to_owned()),
                is_cached: false,
            }],
        }
    }

    #[test]
    fn an_order_comes_back_and_a_damaged_one_does_not() {
        let bytes = order("{}").encode();
        assert_eq!(Order::decode(&bytes), Ok(order("{}")));
        for cut in 0..bytes.len() {
            assert!(Order::decode(&bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x20;
            assert!(Order::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn an_order_with_cached_files_is_of_the_second_version_and_no_other_is() {
        let mut cached = order("{}");
        let version = |order: &Order| order.encode()[8];
        assert_eq!(version(&cached), 0);
        cached.uris.push(cached.uris[0].clone());
        cached.uris[1].is_cached = true;
        let bytes = cached.encode();
        assert_eq!(version(&cached), 1);
        assert_eq!(&bytes[bytes.len() - 2..], [1, 1]);
        assert_eq!(Order::decode(&bytes), Ok(cached.clone()));
        let mut bad = Vec::new();
        let payload = postcard::to_stdvec(&Envelope::V2(cached, vec![2])).unwrap();
        frame::encode(&payload, &mut bad);
        assert_eq!(Order::decode(&bad), Err(OrderError::Malformed));
    }

    #[test]
    fn the_bytes_of_version_one_do_not_change() {
        let bytes = order("{}").encode();
        let golden: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "9c000000c3c9b30300107777772d70726f642d7765622d302d78037777770470",
            "726f6403776562030e4175726f72614578656375746f72027b7df40380018002",
            "0001046874747098f20101016b01760b6f6e652e6578616d706c650377777721",
            "21022104042f73727601e0d40380a0abfef9620a2d2d6e6f7365747569640109",
            "2f6f70742f77726170010d2f6f70742f6578656375746f7201062f662e746172",
            "01010167",
        ];
        assert_eq!(golden.concat(), expected.concat());
    }
}
