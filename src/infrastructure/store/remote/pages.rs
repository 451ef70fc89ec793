//! The pages that web servers make of folders (nginx's autoindex, Apache, Python's http.server): a listing for stores that can only
//! be read. Names that cannot be ours are ignored by whoever asked.

use backon::{ExponentialBuilder, Retryable};
use base64::Engine as _;
use http::{Request, Response, StatusCode, header};
use opendal::raw::oio::ReadStream;
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransporter, OperationContext, Result};

use super::service::{FIRST_DELAY, LAST_DELAY, RETRIES};

/// Bytes that a page may have.
const LIMIT: usize = 64 << 20;

/// Where the pages are.
pub(super) struct Pages {
    folder: String,
    /// The header for a user and password.
    login: Option<String>,
    transport: HttpTransporter,
}

impl Pages {
    /// The pages below a URL without a slash at its end.
    pub(super) fn new(folder: String, login: Option<(String, String)>, context: &OperationContext) -> Self {
        let login = login.map(|(user, password)| {
            let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            format!("Basic {both}")
        });
        Self { folder, login, transport: context.http_transport().clone() }
    }

    /// The names on the page of `prefix` (which ends with `/`), to be run on the network's threads.
    pub(super) fn names(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>>> + Send + use<> {
        let (url, login) = (format!("{}/{prefix}", self.folder), self.login.clone());
        let transport = self.transport.clone();
        let ask = move || {
            let mut request = Request::get(&url);
            if let Some(login) = &login {
                request = request.header(header::AUTHORIZATION, login);
            }
            let (request, transport) = (request.body(Buffer::new()), transport.clone());
            async move {
                let request =
                    request.map_err(|error| Error::new(ErrorKind::ConfigInvalid, error.to_string()))?;
                page(transport.fetch(request).await?).await
            }
        };
        let delays = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LAST_DELAY)
            .with_max_times(RETRIES);
        async move {
            let page = ask.retry(delays).when(Error::is_temporary).await?;
            Ok(names(&String::from_utf8_lossy(&page)))
        }
    }
}

/// The page that an answer holds; an empty one where there is no such folder.
async fn page(answer: Response<HttpBody>) -> Result<Vec<u8>> {
    let status = answer.status();
    if status == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    if !status.is_success() {
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::PermissionDenied,
            _ => ErrorKind::Unexpected,
        };
        let busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let text = format!("the listing of the folder was answered with {status}");
        return Err(Error::new(kind, text).with_temporary(busy));
    }
    let mut body = answer.into_body();
    let mut page = Vec::new();
    loop {
        let piece = body.read().await?;
        if piece.is_empty() {
            return Ok(page);
        }
        page.extend(piece.into_iter().flatten());
        if page.len() > LIMIT {
            return Err(Error::new(ErrorKind::Unexpected, "the listing has no end"));
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
