//! A zenoh session that reaches only whom it was told to reach.
//!
//! Certificates, access control and everything else that zenoh can do come from zenoh's own configuration file, which is
//! passed through. Scouting is off whatever that says: who finds others by multicast or hearsay may also find the wrong.

use crate::FleetError;
use std::path::PathBuf;
use zenoh::{Config, Session, Wait};

/// Where a collector listens unless told otherwise: only for robots on the same machine.
pub const LISTEN: &str = "tcp/127.0.0.1:7447";

/// How long a robot tries to reach a collector before it says that it cannot, and tries again, ms.
const CONNECT_MS_MAX: &str = "2000";

#[derive(Clone, Debug, Default)]
pub struct Network {
    /// A file of zenoh's.
    pub config: Option<PathBuf>,
    pub listen: Vec<String>,
    pub connect: Vec<String>,
}

impl Network {
    /// A collector: others connect to it, and it may connect to routers.
    pub fn collector(&self) -> Result<Config, FleetError> {
        let mut config = self.base()?;
        set(&mut config, "mode", "\"router\"")?;
        let ours = config.get_json("listen/endpoints").map_err(network)?;
        let untold = Config::default()
            .get_json("listen/endpoints")
            .map_err(network)?;
        if !self.listen.is_empty() {
            set(&mut config, "listen/endpoints", &list(&self.listen))?;
        } else if ours == untold {
            // Zenoh's own default is every interface of the machine.
            set(&mut config, "listen/endpoints", &list(&[LISTEN.to_owned()]))?;
        }
        Ok(config)
    }

    /// A robot: it connects, and nobody connects to it.
    pub fn robot(&self) -> Result<Config, FleetError> {
        let mut config = self.base()?;
        set(&mut config, "mode", "\"client\"")?;
        set(&mut config, "connect/timeout_ms", CONNECT_MS_MAX)?;
        set(&mut config, "listen/endpoints", "[]")?;
        Ok(config)
    }

    fn base(&self) -> Result<Config, FleetError> {
        let mut config = match &self.config {
            Some(path) => Config::from_file(path)
                .map_err(|error| FleetError::Network(format!("{}: {error}", path.display())))?,
            None => Config::default(),
        };
        set(&mut config, "scouting/multicast/enabled", "false")?;
        set(&mut config, "scouting/gossip/enabled", "false")?;
        if !self.connect.is_empty() {
            set(&mut config, "connect/endpoints", &list(&self.connect))?;
        }
        Ok(config)
    }
}

pub fn open(config: &Config) -> Result<Session, FleetError> {
    zenoh::open(config.clone()).wait().map_err(network)
}

pub(crate) fn network(error: zenoh::Error) -> FleetError {
    FleetError::Network(error.to_string())
}

fn set(config: &mut Config, key: &str, value: &str) -> Result<(), FleetError> {
    let told = config.insert_json5(key, value);
    told.map_err(|error| FleetError::Network(format!("{key} = {value}: {error}")))
}

fn list(endpoints: &[String]) -> String {
    serde_json::json!(endpoints).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_scouted_and_strangers_are_not_listened_to() {
        let config = Network::default().collector().unwrap();
        let said = |key| config.get_json(key).unwrap();
        assert_eq!(said("scouting/multicast/enabled"), "false");
        assert_eq!(said("scouting/gossip/enabled"), "false");
        assert_eq!(said("listen/endpoints"), format!("[{LISTEN:?}]"));
        let network = Network {
            connect: vec!["tcp/192.0.2.1:7447".into()],
            ..Network::default()
        };
        let config = network.robot().unwrap();
        assert_eq!(config.get_json("listen/endpoints").unwrap(), "[]");
        assert_eq!(config.get_json("mode").unwrap(), "\"client\"");
    }

    #[test]
    fn endpoints_that_are_none_are_refused() {
        let network = Network {
            listen: vec!["nowhere".into()],
            ..Network::default()
        };
        assert!(matches!(network.collector(), Err(FleetError::Network(_))));
    }
}
