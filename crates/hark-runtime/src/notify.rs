//! Tells a service manager how far a run has come, by the protocol of `sd_notify(3)`: a datagram to the socket that
//! `$NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Everything is attached.
    Ready,
    /// The run ends.
    Stopping,
}

impl State {
    const fn text(self) -> &'static str {
        match self {
            State::Ready => "READY=1\nSTATUS=attached\n",
            State::Stopping => "STOPPING=1\n",
        }
    }
}

/// Tells whoever listens at `socket`: a path, or behind `@` an abstract name. That nobody does is no failure of the run.
pub(crate) fn notify(socket: Option<&str>, state: State) {
    let Some(socket) = socket else { return };
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    };
    if let (Ok(address), Ok(from)) = (address, UnixDatagram::unbound()) {
        let _ = from.send_to_addr(state.text().as_bytes(), &address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets_hear_it() {
        let dir = std::env::temp_dir().join(format!("hark-notify-{}", std::process::id()));
        let name = format!("hark-notify-{}", std::process::id());
        let by_path = UnixDatagram::bind(&dir).expect("a socket");
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("a socket");
        notify(dir.to_str(), State::Ready);
        notify(Some(&format!("@{name}")), State::Stopping);
        let heard = |socket: &UnixDatagram| {
            let mut bytes = [0; 64];
            let n = socket.recv(&mut bytes).expect("a message");
            String::from_utf8_lossy(&bytes[..n]).into_owned()
        };
        assert_eq!(heard(&by_path), "READY=1\nSTATUS=attached\n");
        assert_eq!(heard(&by_name), "STOPPING=1\n");
        std::fs::remove_file(&dir).expect("removed");
        // Nobody there: nothing happens.
        notify(dir.to_str(), State::Ready);
        notify(None, State::Ready);
    }
}
