//! The pages that web servers make of folders (nginx's autoindex, Apache, Python's http.server): a listing for stores that can only
//! be read. Names that cannot be ours are ignored by whoever asked.

use std::time::Duration;

use reqwest::{Client, StatusCode};

/// Bytes that a page may have.
const LIMIT: usize = 64 << 20;

/// Where the pages are.
pub(super) struct Pages {
    folder: String,
    login: Option<(String, String)>,
}

impl Pages {
    /// The pages below a URL without a slash at its end.
    pub(super) fn new(folder: String, login: Option<(String, String)>) -> Self {
        Self { folder, login }
    }

    /// A request for the page of `prefix` (which ends with `/`), to be run on the network's threads.
    pub(super) fn names(
        &self,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<String>, String>> + Send + use<> {
        let (url, login) = (format!("{}/{prefix}", self.folder), self.login.clone());
        async move {
            let text = |error: reqwest::Error| error.without_url().to_string();
            let client = Client::builder().read_timeout(Duration::from_secs(30)).build().map_err(text)?;
            let mut request = client.get(&url);
            if let Some((user, password)) = login {
                request = request.basic_auth(user, Some(password));
            }
            let mut answer = request.send().await.map_err(text)?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(Vec::new());
            }
            if !answer.status().is_success() {
                return Err(format!("the listing of the folder was answered with {}", answer.status()));
            }
            let mut page = Vec::new();
            while let Some(piece) = answer.chunk().await.map_err(text)? {
                page.extend_from_slice(&piece);
                if page.len() > LIMIT {
                    return Err("the listing has no end".to_owned());
                }
            }
            Ok(names(&String::from_utf8_lossy(&page)))
        }
    }
}

/// The names that the links of a page lead to.
pub(in crate::infrastructure::store) fn names(page: &str) -> Vec<String> {
    let mut names = Vec::new();
    for piece in page.split("href=").skip(1) {
        let Some(quote) = piece.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
        let Some(link) = piece[1..].split(quote).next() else { continue };
        let name = link.strip_prefix("./").unwrap_or(link);
        // Only links that stay in the folder; a column's heading links to the same page, sorted otherwise.
        if !name.is_empty() && !name.starts_with(['/', '?', '#', '.']) && !name.contains(':') {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_page_is_read_without_a_panic(page: String) {
            let _ = names(&page);
        }
    }

    #[test]
    fn pages_of_the_usual_servers_are_understood() {
        let nginx = "<h1>Index of /index/</h1><a href=\"../\">../</a>\n<a href=\"01-ab\">01-ab</a> 10\n<a href=\"ab/\">ab/</a>";
        let apache =
            "<th><a href=\"?C=N;O=D\">Name</a></th><a href=\"/store/\">Parent</a><a href='01-ab'>01-ab</a>";
        let python = "<li><a href=\"./01-ab\">01-ab</a></li><a href=\"https://elsewhere/x\">x</a>";
        assert_eq!(names(nginx), ["01-ab", "ab/"]);
        assert_eq!(names(apache), ["01-ab"]);
        assert_eq!(names(python), ["01-ab"]);
        assert!(names("<a href=").is_empty() && names("").is_empty());
    }
}
