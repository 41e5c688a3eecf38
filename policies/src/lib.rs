//! Policies for visuomotor.
