//! Redis as Tertulia uses it: one server, Sentinel or Cluster, told apart by the URL alone.
