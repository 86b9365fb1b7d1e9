//! Where a request comes from.

use std::net::IpAddr;

use gateway::PeerAddress;
use http::Extensions;

use crate::{
    error::AppError,
    limits::{Key, network::Network, tiers},
};

/// The address of the client, as the listener or a trusted proxy says it.
pub fn address(extensions: &Extensions) -> Result<IpAddr, AppError> {
    let PeerAddress(peer) = extensions
        .get()
        .ok_or_else(|| AppError::internal("the request came without a peer address"))?;
    Ok(peer.ip().to_canonical())
}

/// The key of the network that a request comes from.
pub fn network_key(extensions: &Extensions) -> Result<Key, AppError> {
    let network = Network::from(address(extensions)?);
    Ok(tiers::of_network(network))
}
