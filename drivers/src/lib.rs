//! Arms and cameras for visuomotor. Each device is a feature.
