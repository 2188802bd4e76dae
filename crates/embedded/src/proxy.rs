//! A TCP proxy that does to a connection what networks do: it cuts before a message is delivered or before its answer is,
//! delivers twice, delays, falls silent, refuses.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::{Doing, Error};

const CHUNK_BYTES: usize = 64 * 1024;

/// How long a connection to the server behind may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// What happens to what is carried. Those with a mark strike once, at the next message of a client that contains it (an
/// empty mark: any), and then all is well again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The message is not delivered and its connection is cut.
    CutBefore(Vec<u8>),
    /// The message is delivered, the server answers, and the connection is cut instead of delivering that.
    CutAnswer(Vec<u8>),
    /// The message is delivered twice.
    Duplicate(Vec<u8>),
    /// Everything takes this much longer, each way.
    Delay(Duration),
    /// Nothing is delivered and nothing is closed: the other side is gone without a word.
    Silence,
    /// Who connects is turned away, and who is connected is cut.
    Refuse,
}

/// Stands between clients and one server, on a port of its own. Dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    port: u16,
    to: Mutex<SocketAddr>,
    fault: Mutex<Fault>,
    struck: AtomicU64,
    is_over: AtomicBool,
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Pair>>>,
}

/// A connection's two sides.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
    /// The next answer is lost.
    answer_is_lost: AtomicBool,
    /// It has fallen silent, and can't be woken: what it missed is gone.
    is_silent: AtomicBool,
}

impl Proxy {
    /// Starts one in front of `to`.
    pub fn start(to: SocketAddr) -> Result<Proxy, Error> {
        let doing = || "open a port for a proxy".to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(doing)?;
        let port = listener.local_addr().doing(doing)?.port();
        let shared = Arc::new(Shared {
            port,
            to: Mutex::new(to),
            fault: Mutex::new(Fault::None),
            struck: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.is_over.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(client) = client {
                    let shared = accepting.clone();
                    thread::spawn(move || shared.connect(client));
                }
            }
        });
        Ok(Proxy(shared))
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Who connects from now on gets to another server.
    pub fn retarget(&self, to: SocketAddr) {
        *lock(&self.0.to) = to;
    }

    /// What happens from now on.
    pub fn set(&self, fault: Fault) {
        let was = std::mem::replace(&mut *lock(&self.0.fault), fault.clone());
        if fault == Fault::Refuse || was == Fault::Silence {
            self.cut_all();
        }
    }

    /// How often a fault with a mark has struck.
    pub fn struck(&self) -> u64 {
        self.0.struck.load(Ordering::Acquire)
    }

    /// Cuts every connection, in the middle of whatever it carries.
    pub fn cut_all(&self) {
        for pair in lock(&self.0.open).values() {
            pair.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        self.cut_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.0.port));
    }
}

impl Shared {
    fn connect(self: Arc<Self>, client: TcpStream) {
        if *lock(&self.fault) == Fault::Refuse {
            return;
        }
        let to = *lock(&self.to);
        let Ok(server) = TcpStream::connect_timeout(&to, CONNECT_PATIENCE) else { return };
        let _ = client.set_nodelay(true).and(server.set_nodelay(true));
        let pair = Arc::new(Pair {
            client,
            server,
            answer_is_lost: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
        });
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(id, pair.clone());
        // Whoever cut everything in between did not see it.
        if *lock(&self.fault) == Fault::Refuse || self.is_over.load(Ordering::Acquire) {
            pair.cut();
        }
        let answers = {
            let (shared, pair) = (self.clone(), pair.clone());
            thread::spawn(move || {
                let _ = shared.carry_answers(&pair);
                pair.cut();
            })
        };
        let _ = self.carry_messages(&pair);
        // A client that has said all it wants may still wait for the answer.
        let _ = pair.server.shutdown(Shutdown::Write);
        let _ = answers.join();
        pair.cut();
        lock(&self.open).remove(&id);
    }

    fn carry_messages(&self, pair: &Pair) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = (&pair.client).read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let chunk = &buffer[..count];
            match self.strike(chunk) {
                Fault::CutBefore(_) => {
                    pair.cut();
                    return Ok(());
                }
                Fault::CutAnswer(_) => pair.answer_is_lost.store(true, Ordering::Release),
                Fault::Duplicate(_) => (&pair.server).write_all(chunk)?,
                Fault::Delay(by) => delay(by),
                Fault::Silence => pair.is_silent.store(true, Ordering::Release),
                Fault::None | Fault::Refuse => {}
            }
            if !pair.is_silent.load(Ordering::Acquire) {
                (&pair.server).write_all(chunk)?;
            }
        }
    }

    fn carry_answers(&self, pair: &Pair) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = (&pair.server).read(&mut buffer)?;
            if count == 0 || pair.answer_is_lost.load(Ordering::Acquire) {
                return Ok(());
            }
            let fault = lock(&self.fault).clone();
            match fault {
                Fault::Delay(by) => delay(by),
                Fault::Silence => pair.is_silent.store(true, Ordering::Release),
                _ => {}
            }
            if !pair.is_silent.load(Ordering::Acquire) {
                (&pair.client).write_all(&buffer[..count])?;
            }
        }
    }

    /// What happens to this message.
    fn strike(&self, chunk: &[u8]) -> Fault {
        let mut fault = lock(&self.fault);
        match &*fault {
            Fault::CutBefore(mark) | Fault::CutAnswer(mark) | Fault::Duplicate(mark) => {
                if !contains(chunk, mark) {
                    return Fault::None;
                }
                self.struck.fetch_add(1, Ordering::AcqRel);
                std::mem::replace(&mut *fault, Fault::None)
            }
            lasting => lasting.clone(),
        }
    }
}

impl Pair {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

#[expect(clippy::disallowed_methods, reason = "each connection has threads of its own")]
fn delay(by: Duration) {
    thread::sleep(by);
}

fn contains(chunk: &[u8], mark: &[u8]) -> bool {
    mark.is_empty() || chunk.windows(mark.len()).any(|window| window == mark)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// Answers each message with "ok", and tells what it was given.
    fn server() -> (SocketAddr, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (said, heard) = channel();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (mut client, said) = (client.unwrap(), said.clone());
                thread::spawn(move || {
                    let mut buffer = [0; 64];
                    while let Ok(count @ 1..) = client.read(&mut buffer) {
                        said.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).unwrap();
                        let _ = client.write_all(b"ok");
                    }
                });
            }
        });
        (address, heard)
    }

    /// Sends a message on a connection of its own and gives the answer; empty when it was cut.
    fn ask(proxy: &Proxy, message: &str) -> String {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        let _ = client.write_all(message.as_bytes());
        let mut buffer = [0; 64];
        let count = client.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn a_cut_answer_was_asked_for_and_a_cut_message_was_not() {
        let (address, heard) = server();
        let proxy = Proxy::start(address).unwrap();
        assert_eq!((ask(&proxy, "one").as_str(), heard.recv().unwrap().as_str()), ("ok", "one"));
        proxy.set(Fault::CutAnswer(b"COMMIT".to_vec()));
        assert_eq!((ask(&proxy, "two").as_str(), heard.recv().unwrap().as_str()), ("ok", "two"));
        assert_eq!((ask(&proxy, "COMMIT 3").as_str(), heard.recv().unwrap().as_str()), ("", "COMMIT 3"));
        proxy.set(Fault::CutBefore(Vec::new()));
        assert_eq!(ask(&proxy, "four"), "");
        assert_eq!((ask(&proxy, "five").as_str(), heard.recv().unwrap().as_str()), ("ok", "five"));
        assert_eq!(proxy.struck(), 2);
    }

    #[test]
    fn a_message_comes_twice_or_never_and_a_refused_client_knows_at_once() {
        let (address, heard) = server();
        let proxy = Proxy::start(address).unwrap();
        proxy.set(Fault::Duplicate(b"one".to_vec()));
        assert_eq!(ask(&proxy, "one"), "ok");
        let twice =
            heard.recv().unwrap() + &heard.recv_timeout(Duration::from_millis(50)).unwrap_or_default();
        assert_eq!(twice, "oneone");

        proxy.set(Fault::Silence);
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        client.write_all(b"lost").unwrap();
        // What a silent connection has swallowed never arrives; the end of the silence cuts it.
        while lock(&proxy.0.open).values().all(|pair| !pair.is_silent.load(Ordering::Acquire)) {
            thread::yield_now();
        }
        proxy.set(Fault::None);
        assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);

        proxy.set(Fault::Refuse);
        assert_eq!(ask(&proxy, "refused"), "");
        proxy.set(Fault::None);
        assert_eq!((ask(&proxy, "two").as_str(), heard.recv().unwrap().as_str()), ("ok", "two"));
    }
}
