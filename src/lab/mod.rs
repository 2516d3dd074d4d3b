//! A pretend fleet of Dom0s.
