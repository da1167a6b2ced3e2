//! Helpers of the cross-backend tests.
