//! What a session counts.

use metrics::{Counter, Gauge, counter, gauge};

use super::end::End;

/// The counters of one module's sockets; the gauge of open ones falls when it is dropped.
pub(super) struct Meter {
    protocol: &'static str,
    open: Gauge,
    received: Counter,
    sent: Counter,
}

impl Meter {
    /// Counts a socket that has opened.
    pub fn open(protocol: &'static str) -> Self {
        let meter = Self {
            protocol,
            open: gauge!("weir_sockets_open", "protocol" => protocol),
            received: counter!("weir_socket_messages_total", "protocol" => protocol, "direction" => "in"),
            sent: counter!("weir_socket_messages_total", "protocol" => protocol, "direction" => "out"),
        };
        meter.open.increment(1.0);
        meter
    }

    pub fn received(&self) {
        self.received.increment(1);
    }

    pub fn sent(&self) {
        self.sent.increment(1);
    }

    pub fn closing(&self, end: &End) {
        let code = end.code().to_string();
        counter!("weir_sockets_closed_total", "protocol" => self.protocol, "code" => code).increment(1);
        tracing::debug!(protocol = self.protocol, ?end, "socket closed");
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}
