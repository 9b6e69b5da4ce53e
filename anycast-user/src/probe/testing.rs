//! A small server for tests.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{BurstRequest, BurstResult, Prober};

/// A true answer to a query.
pub(crate) fn answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    answer
}

/// Sends a burst and waits for its first result.
pub(crate) fn burst(request: BurstRequest) -> BurstResult {
    let prober = Prober::start(1).unwrap();
    prober.try_request(request).unwrap();
    let result = prober.results.recv().unwrap();
    prober.stop();
    result
}

/// Sends what a function makes of each query. Ends when dropped.
pub(crate) struct Responder {
    address: SocketAddr,
    ports: Arc<Mutex<Vec<u16>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// In the network namespace of the calling thread.
    pub(crate) fn start(address: &str, respond: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        // How soon it notices that it is to stop; nothing else waits for this.
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let ports = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let serve = {
            let (ports, stop) = (ports.clone(), stop.clone());
            move || {
                let mut buffer = [0; 512];
                while !stop.load(Ordering::Relaxed) {
                    match socket.recv_from(&mut buffer) {
                        Ok((length, client)) => {
                            ports.lock().unwrap().push(client.port());
                            for reply in respond(&buffer[..length]) {
                                // The client may have got what it wanted and gone.
                                let _ = socket.send_to(&reply, client);
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        };
        let thread = Some(std::thread::spawn(serve));
        Self {
            address,
            ports,
            stop,
            thread,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The source ports of the queries so far.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.ports.lock().unwrap().clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
