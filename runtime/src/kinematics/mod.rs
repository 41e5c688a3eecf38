//! Where the tool is, how it moves with the joints, and which joints bring it somewhere.
