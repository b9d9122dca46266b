//! Names of the documents as names of Rust.

/// Names whose parts cannot be told by their letters.
const SPECIAL: [(&str, &str); 8] = [
    ("self", "itself"),
    ("appD", "appd"),
    ("appDId", "appd_id"),
    ("appDVersion", "appd_version"),
    ("dSCP", "dscp"),
    ("qCI", "qci"),
    ("tC", "tc"),
    ("oAuth2Info", "oauth2_info"),
];

const KEYWORDS: [&str; 8] = ["type", "ref", "match", "use", "enum", "in", "where", "move"];

/// The words of a name, in lower case: `selectedMECHostInfo` is selected, mec, host, info.
pub fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    let mut before: Option<char> = None;
    for (index, letter) in letters.iter().copied().enumerate() {
        let next_is_lower = letters
            .get(index + 1)
            .is_some_and(|next| next.is_lowercase());
        let begins = before.is_some_and(|before| {
            letter.is_uppercase() && (!before.is_uppercase() || next_is_lower)
        });
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut()
            && letter.is_alphanumeric()
        {
            word.extend(letter.to_lowercase());
        }
        before = Some(letter);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A name of a field or a function.
pub fn snake(name: &str) -> String {
    let special = SPECIAL.iter().find(|(wire, _)| *wire == name);
    let snake = special.map_or_else(|| words(name).join("_"), |(_, ours)| (*ours).to_owned());
    if KEYWORDS.contains(&snake.as_str()) {
        return format!("r#{snake}");
    }
    snake
}

/// A name of a type or a variant.
pub fn pascal(name: &str) -> String {
    words(name).iter().map(|word| capitalized(word)).collect()
}

/// With its first letter in upper case.
pub fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// What serde makes of a field's name with `rename_all = "camelCase"`.
pub fn camel(field: &str) -> String {
    let mut words = field.trim_start_matches("r#").split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &capitalized(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_where_its_words_begin() {
        assert_eq!(
            words("selectedMECHostInfo"),
            ["selected", "mec", "host", "info"]
        );
        assert_eq!(words("fixedBWPriority"), ["fixed", "bw", "priority"]);
        assert_eq!(words("MEC_SYSTEM"), ["mec", "system"]);
        assert_eq!(words("If-Match"), ["if", "match"]);
        assert_eq!(words("_links"), ["links"]);
    }

    #[test]
    fn fields_are_in_snake_case_and_no_keywords() {
        assert_eq!(snake("appInstanceId"), "app_instance_id");
        assert_eq!(snake("appDNSRule"), "app_dns_rule");
        assert_eq!(snake("appDId"), "appd_id");
        assert_eq!(snake("type"), "r#type");
    }

    #[test]
    fn types_are_in_pascal_case() {
        assert_eq!(
            pascal("OAUTH2_CLIENT_CREDENTIALS"),
            "Oauth2ClientCredentials"
        );
        assert_eq!(pascal("listServices"), "ListServices");
        assert_eq!(pascal("AppPackageOnBoarded"), "AppPackageOnBoarded");
    }

    #[test]
    fn serde_finds_the_way_back_where_it_can() {
        assert_eq!(camel(&snake("callbackReference")), "callbackReference");
        assert_eq!(camel(&snake("type")), "type");
        assert_ne!(camel(&snake("appDNSRule")), "appDNSRule");
    }
}
