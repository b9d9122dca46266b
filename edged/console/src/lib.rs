//! The operator's verbs: parsed once, answered as tables or JSON.
