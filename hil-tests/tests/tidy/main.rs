//! The house's rules, checked over every file of the repository: `cargo test --test tidy`.
//!
//! [`rules`] says what the rules are, each with examples that it must refuse and accept, so that none can pass
//! because it looks at nothing. Not responsible for what rustfmt and clippy already check.

mod rules;
mod source;

use rules::RULES;
use source::Tree;

#[test]
fn the_repository_keeps_every_rule() {
    let Some(tree) = Tree::of_repository() else {
        println!("SKIPPED: not a git checkout, so there is no list of files to check");
        return;
    };
    assert!(tree.rust().count() > 20, "the walk found too few files");
    let breaches: Vec<String> = RULES
        .iter()
        .flat_map(|rule| {
            let breaches = (rule.check)(&tree);
            breaches
                .into_iter()
                .map(|b| format!("{b}\n    rule: {}", rule.says))
        })
        .collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn every_rule_refuses_its_bad_examples() {
    for rule in RULES {
        assert!(!rule.bad.is_empty(), "no bad example: {}", rule.says);
        for example in rule.bad {
            let breaches = (rule.check)(&Tree::of(example));
            assert!(!breaches.is_empty(), "{}: accepted {example:?}", rule.says);
        }
    }
}

#[test]
fn every_rule_accepts_its_good_examples() {
    for rule in RULES {
        for example in rule.good {
            let breaches = (rule.check)(&Tree::of(example));
            assert!(breaches.is_empty(), "{}: {breaches:?}", rule.says);
        }
    }
}
