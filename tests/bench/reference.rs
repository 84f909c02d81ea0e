//! The stores that the log is compared with, as far as this machine has them: three etcd or three ZooKeeper
//! servers on the same disk, and clients that keep many small writes in flight.
//!
//! The clients speak just enough of the protocols: gRPC's framing over HTTP/2, and ZooKeeper's records.

use super::{Running, figures, free_ports};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Connections over which the writes in flight are spread.
const CONNECTIONS: u64 = 10;
const SERVERS: usize = 3;

/// What can be compared with.
#[derive(Clone, Copy, Debug)]
pub enum Store {
    Etcd,
    ZooKeeper,
}

/// Three servers, and where their clients connect.
struct Cluster {
    running: Running,
    clients: Vec<u16>,
}

impl Store {
    /// Those that are installed; says which are not.
    pub fn installed() -> Vec<Self> {
        let mut all = Vec::new();
        for (store, file, package) in [
            (Self::Etcd, "/usr/bin/etcd", "etcd-server"),
            (
                Self::ZooKeeper,
                "/usr/share/java/zookeeper.jar",
                "zookeeper",
            ),
        ] {
            if Path::new(file).exists() {
                all.push(store);
            } else {
                let name = store.name();
                println!("{name} is not compared with: {file} of the package {package} is absent");
            }
        }
        all
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ZooKeeper => "zookeeper",
        }
    }

    /// Milliseconds from the SIGKILL of the leader of three servers in `dir` to the first write that one of
    /// the others acknowledges.
    pub fn kill_to_ack_ms(self, dir: &Path) -> f64 {
        let mut cluster = self.start(dir);
        let leader = self.leader_of(&cluster);
        let begun = figures::now();
        cluster.running.0[leader].kill().unwrap();
        cluster.clients.remove(leader);
        for at in 0.. {
            let port = cluster.clients[at % cluster.clients.len()];
            let soon = figures::now() + Duration::from_millis(1);
            if self.write(port, 98, 1, 1, soon).is_ok_and(|done| done > 0) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no new leader");
            std::thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed().as_secs_f64() * 1_000.0
    }

    fn leader_of(self, cluster: &Cluster) -> usize {
        let leader = (0..100).find_map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            let mut ports = cluster.clients.iter();
            ports.position(|port| self.leads(*port).unwrap_or(false))
        });
        leader.unwrap_or_else(|| panic!("no {} leads", self.name()))
    }

    /// Whether the server there says that it leads.
    fn leads(self, port: u16) -> io::Result<bool> {
        let (request, sign) = match self {
            Self::Etcd => (
                "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                "\netcd_server_is_leader 1",
            ),
            Self::ZooKeeper => ("srvr", "Mode: leader"),
        };
        let mut stream = connect(port)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).contains(sign))
    }

    fn start(self, dir: &Path) -> Cluster {
        drop(fs::remove_dir_all(dir));
        fs::create_dir_all(dir).unwrap();
        let cluster = match self {
            Self::Etcd => start_etcd(dir),
            Self::ZooKeeper => start_zookeeper(dir),
        };
        self.wait_until_ready(&cluster);
        cluster
    }

    /// Writes a second of three servers in `dir`, with so many in flight.
    pub fn writes_per_s(self, dir: &Path, bytes: usize, in_flight: u64, seconds: u64) -> f64 {
        let cluster = self.start(dir);
        let connections = in_flight.min(CONNECTIONS);
        let window = in_flight / connections;
        let begun = figures::now();
        let end = begun + Duration::from_secs(seconds);
        let done: u64 = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..connections)
                .map(|index| {
                    let port = cluster.clients[index as usize % SERVERS];
                    scope.spawn(move || self.write(port, index, bytes, window, end).unwrap())
                })
                .collect();
            clients.into_iter().map(|c| c.join().unwrap()).sum()
        });
        done as f64 / begun.elapsed().as_secs_f64()
    }

    /// Milliseconds of one write after the other, on average, asked of the leader of three servers in `dir`.
    pub fn write_ms(self, dir: &Path, bytes: usize, seconds: u64) -> f64 {
        let cluster = self.start(dir);
        let port = cluster.clients[self.leader_of(&cluster)];
        let begun = figures::now();
        let end = begun + Duration::from_secs(seconds);
        let done = self.write(port, 1, bytes, 1, end).unwrap();
        begun.elapsed().as_secs_f64() * 1_000.0 / done as f64
    }

    fn write(
        self,
        port: u16,
        client: u64,
        bytes: usize,
        window: u64,
        end: Instant,
    ) -> io::Result<u64> {
        match self {
            Self::Etcd => put(port, client, bytes, window, end),
            Self::ZooKeeper => set(port, client, bytes, window, end),
        }
    }

    fn wait_until_ready(self, cluster: &Cluster) {
        for port in &cluster.clients {
            let ready = (0..600).any(|_| {
                std::thread::sleep(Duration::from_millis(100));
                let soon = figures::now() + Duration::from_millis(1);
                self.write(*port, 99, 1, 1, soon).is_ok_and(|done| done > 0)
            });
            assert!(ready, "{} does not answer on port {port}", self.name());
        }
    }
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = File::create(log).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn start_etcd(dir: &Path) -> Cluster {
    let ports = free_ports(2 * SERVERS);
    let (clients, peers) = ports.split_at(SERVERS);
    let url = |port: &u16| format!("http://127.0.0.1:{port}");
    let named = peers.iter().enumerate();
    let named: Vec<String> = named.map(|(i, p)| format!("s{i}={}", url(p))).collect();
    let server = |index: usize| {
        let mut command = Command::new("/usr/bin/etcd");
        command
            .arg(format!("--name=s{index}"))
            .arg(format!(
                "--data-dir={}",
                dir.join(format!("s{index}")).display()
            ))
            .arg(format!("--listen-client-urls={}", url(&clients[index])))
            .arg(format!("--advertise-client-urls={}", url(&clients[index])))
            .arg(format!("--listen-peer-urls={}", url(&peers[index])))
            .arg(format!(
                "--initial-advertise-peer-urls={}",
                url(&peers[index])
            ))
            .arg(format!("--initial-cluster={}", named.join(",")))
            .arg("--quota-backend-bytes=8000000000")
            .arg("--logger=zap");
        spawn(&mut command, &dir.join(format!("s{index}.log")))
    };
    Cluster {
        running: Running((0..SERVERS).map(server).collect()),
        clients: clients.to_vec(),
    }
}

fn start_zookeeper(dir: &Path) -> Cluster {
    let ports = free_ports(3 * SERVERS);
    let (clients, between) = ports.split_at(SERVERS);
    let servers = between.chunks(2).enumerate();
    let servers: Vec<String> = servers
        .map(|(i, pair)| format!("server.{}=127.0.0.1:{}:{}\n", i + 1, pair[0], pair[1]))
        .collect();
    let server = |index: usize| {
        let data = dir.join(format!("s{index}"));
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("myid"), (index + 1).to_string()).unwrap();
        let config = dir.join(format!("s{index}.cfg"));
        let text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort={}\n\
             clientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n{}",
            data.display(),
            clients[index],
            servers.concat()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("java");
        command
            .args(["-Xmx512m", "-cp", "/usr/share/java/zookeeper.jar"])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&config);
        spawn(&mut command, &dir.join(format!("s{index}.log")))
    };
    Cluster {
        running: Running((0..SERVERS).map(server).collect()),
        clients: clients.to_vec(),
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Keeps `window` writes in flight until `end`, and writes once in any case: to connect may take longer.
/// Gives how many were acknowledged.
fn drive(
    window: u64,
    end: Instant,
    mut send: impl FnMut(u64) -> io::Result<()>,
    mut answered: impl FnMut() -> io::Result<()>,
) -> io::Result<u64> {
    let (mut sent, mut done) = (0, 0);
    while done < sent || sent == 0 || figures::now() < end {
        while sent - done < window && (sent == 0 || figures::now() < end) {
            sent += 1;
            send(sent)?;
        }
        if done == sent {
            break;
        }
        answered()?;
        done += 1;
    }
    Ok(done)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

// --- etcd: unary calls of gRPC, one HTTP/2 stream each.

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A header field that is indexed nowhere.
fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(0);
    for text in [name, value] {
        out.push(u8::try_from(text.len()).unwrap());
        out.extend_from_slice(text.as_bytes());
    }
}

/// A field of bytes in a protocol buffer, whose length may need two bytes.
fn bytes_field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length > 127 {
        out.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

fn put(port: u16, client: u64, bytes: usize, window: u64, end: Instant) -> io::Result<u64> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    const ACK: u8 = 1;
    let mut writer = connect(port)?;
    let mut reader = BufReader::new(writer.try_clone()?);
    let mut control = writer.try_clone()?;
    let mut greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    greeting.extend(frame(SETTINGS, 0, 0, &[]));
    // The answers of the whole connection, all at once.
    greeting.extend(frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes()));
    writer.write_all(&greeting)?;
    let mut head = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/etcdserverpb.KV/Put"),
        (":authority", "127.0.0.1"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        field(name, value, &mut head);
    }
    let send = |number: u64| {
        let stream = u32::try_from(number * 2 - 1).map_err(|_| bad("too many streams"))?;
        let mut message = Vec::new();
        bytes_field(
            1,
            format!("{client:02}-{number:012}").as_bytes(),
            &mut message,
        );
        bytes_field(2, &vec![7; bytes], &mut message);
        let mut data = vec![0];
        data.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&message);
        let mut out = frame(HEADERS, END_HEADERS, stream, &head);
        out.extend(frame(DATA, END_STREAM, stream, &data));
        writer.write_all(&out)
    };
    let mut has_answer = std::collections::BTreeSet::new();
    let answered = || loop {
        let mut header = [0; 9];
        reader.read_exact(&mut header)?;
        let [a, b, c, kind, flags, rest @ ..] = header;
        let stream = u32::from_be_bytes(rest);
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        reader.read_exact(&mut payload)?;
        match kind {
            DATA => drop(has_answer.insert(stream)),
            HEADERS if flags & END_STREAM != 0 => {
                // Without an answer before it, it carries an error.
                if !has_answer.remove(&stream) {
                    return Err(bad("etcd has refused a write"));
                }
                return Ok(());
            }
            SETTINGS if flags & ACK == 0 => control.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => control.write_all(&frame(PING, ACK, 0, &payload))?,
            GOAWAY => return Err(bad("etcd has ended the connection")),
            _ => {}
        }
    };
    drive(window, end, send, answered)
}

// --- ZooKeeper: requests of one session, answered in order.

fn record(fields: &[&[u8]]) -> Vec<u8> {
    let length: usize = fields.iter().map(|f| f.len()).sum();
    let mut out = u32::try_from(length).unwrap().to_be_bytes().to_vec();
    fields.iter().for_each(|f| out.extend_from_slice(f));
    out
}

fn buffer(bytes: &[u8]) -> Vec<u8> {
    record(&[bytes])
}

fn read_record(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let mut record = vec![0; u32::from_be_bytes(length) as usize];
    reader.read_exact(&mut record)?;
    Ok(record)
}

/// The error of an answer: zero if there is none.
fn error_of(answer: &[u8]) -> io::Result<i32> {
    let code = answer.get(12..16).ok_or_else(|| bad("a short answer"))?;
    Ok(i32::from_be_bytes(code.try_into().unwrap()))
}

fn set(port: u16, client: u64, bytes: usize, window: u64, end: Instant) -> io::Result<u64> {
    const CREATE: i32 = 1;
    const SET_DATA: i32 = 5;
    const NODE_EXISTS: i32 = -110;
    let word = i32::to_be_bytes;
    let mut writer = connect(port)?;
    let mut reader = BufReader::new(writer.try_clone()?);
    let hello = record(&[&[0; 12], &word(30_000), &[0; 8], &buffer(&[0; 16])]);
    writer.write_all(&hello)?;
    read_record(&mut reader)?;
    let path = buffer(format!("/bench{client}").as_bytes());
    let everybody = [
        word(1).to_vec(),
        word(31).to_vec(),
        buffer(b"world"),
        buffer(b"anyone"),
    ];
    let create = record(&[
        &word(0),
        &word(CREATE),
        &path,
        &buffer(b""),
        &everybody.concat(),
        &word(0),
    ]);
    writer.write_all(&create)?;
    let created = error_of(&read_record(&mut reader)?)?;
    if ![0, NODE_EXISTS].contains(&created) {
        return Err(bad("ZooKeeper has not made the node"));
    }
    let data = buffer(&vec![7; bytes]);
    let send = |number: u64| {
        let id = word(i32::try_from(number).map_err(|_| bad("too many requests"))?);
        writer.write_all(&record(&[&id, &word(SET_DATA), &path, &data, &word(-1)]))
    };
    let answered = || match error_of(&read_record(&mut reader)?)? {
        0 => Ok(()),
        _ => Err(bad("ZooKeeper has refused a write")),
    };
    drive(window, end, send, answered)
}
