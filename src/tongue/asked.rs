//! Which language the environment asks for, by the rules of gettext(3) and setlocale(3).

use super::Tongue;

impl Tongue {
    /// What these variables ask for. `var` gives a variable's value; an empty one counts as not set.
    ///
    /// The locale of messages is the first that is set of `LC_ALL`, `LC_MESSAGES` and `LANG`. In `C` and `POSIX` everything is English,
    /// whatever `LANGUAGE` says; elsewhere `LANGUAGE` comes first, a list with colons, of which the first that we know is taken. French
    /// needs its accents, so it is spoken only where the characters (`LC_ALL`, `LC_CTYPE`, `LANG`) are UTF-8.
    pub fn asked(var: &dyn Fn(&str) -> Option<String>) -> Tongue {
        let first = |names: &[&str]| names.iter().find_map(|name| var(name).filter(|value| !value.is_empty()));
        let Some(locale) = first(&["LC_ALL", "LC_MESSAGES", "LANG"]) else { return Tongue::english() };
        let characters = first(&["LC_ALL", "LC_CTYPE", "LANG"]).unwrap_or_default();
        if matches!(language(&locale), "C" | "POSIX") || !is_utf8(&characters) {
            return Tongue::english();
        }
        let french = match first(&["LANGUAGE"]) {
            // What stands in the list and is neither of ours has no catalog here: the next one is asked.
            Some(list) => list.split(':').map(language).find(|l| ["fr", "en", "C", "POSIX"].contains(l)) == Some("fr"),
            None => language(&locale) == "fr",
        };
        if french { Tongue::french() } else { Tongue::english() }
    }
}

/// `fr` of `fr_CA.UTF-8@euro`.
fn language(locale: &str) -> &str {
    locale.split(['_', '.', '@']).next().unwrap_or_default()
}

/// `fr_FR.UTF-8`, `fr_FR.utf8@euro`; a locale that names no characters has those of old (ISO-8859).
fn is_utf8(locale: &str) -> bool {
    let characters = locale.split_once('.').map_or("", |(_, rest)| rest.split('@').next().unwrap_or_default());
    let plain: String = characters.chars().filter(char::is_ascii_alphanumeric).collect();
    plain.eq_ignore_ascii_case("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn french(environment: &str) -> bool {
        let var = |name: &str| {
            let pairs = environment.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(n, _)| *n == name).map(|(_, value)| value.to_string()).next()
        };
        Tongue::asked(&var).is_foreign()
    }

    #[test]
    fn the_first_that_is_set_of_three_variables_decides() {
        for environment in [
            "LANG=fr_FR.UTF-8",
            "LANG=fr_CA.utf8",
            "LANG=fr.UTF-8",
            "LANG=fr_FR.UTF-8@euro",
            "LANG=en_US.UTF-8 LC_MESSAGES=fr_FR.UTF-8",
            "LANG=C LC_ALL=fr_BE.UTF-8",
            "LANG=fr_FR.UTF-8 LC_ALL= LC_MESSAGES=",
        ] {
            assert!(french(environment), "{environment}");
        }
        for environment in [
            "",
            "LANG=",
            "LANG=C",
            "LANG=POSIX",
            "LANG=C.UTF-8",
            "LANG=de_DE.UTF-8",
            "LANG=frp_IT.UTF-8",
            "LANG=fr_FR.UTF-8 LC_ALL=C",
            "LANG=fr_FR.UTF-8 LC_ALL=C.UTF-8",
            "LANG=fr_FR.UTF-8 LC_MESSAGES=en_GB.UTF-8",
        ] {
            assert!(!french(environment), "{environment}");
        }
    }

    #[test]
    fn without_accents_there_is_no_french() {
        for environment in [
            "LANG=fr_FR",
            "LANG=fr_FR@euro",
            "LANG=fr_FR.ISO-8859-15",
            "LANG=fr_FR.UTF-8 LC_CTYPE=C",
            "LANG=C LC_MESSAGES=fr_FR.UTF-8",
        ] {
            assert!(!french(environment), "{environment}");
        }
    }

    #[test]
    fn language_is_a_list_and_means_nothing_in_c() {
        assert!(french("LANG=en_US.UTF-8 LANGUAGE=fr"));
        assert!(french("LANG=en_US.UTF-8 LANGUAGE=de:fr_FR:en"));
        assert!(!french("LANG=fr_FR.UTF-8 LANGUAGE=en:fr"));
        assert!(!french("LANG=fr_FR.UTF-8 LANGUAGE=de"));
        assert!(!french("LANG=C LANGUAGE=fr"));
        assert!(!french("LC_ALL=C LANG=fr_FR.UTF-8 LANGUAGE=fr"));
        assert!(!french("LANGUAGE=fr"));
        assert!(french("LANG=fr_FR.UTF-8 LANGUAGE="));
    }
}
