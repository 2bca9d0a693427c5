//! Who gets in, who may change what, and what is refused from elsewhere.

use std::sync::Arc;
use std::time::Duration;

use argon2::PasswordHasher as _;
use tenure_core::{Clock as _, ManualClock};
use tenure_dashboard::{
    Access, ApiToken, Credentials, Dashboard, Peers, Right, Route, ServeError, Server, TokenList,
    routes,
};
use tenure_memory::MemoryStore;
use tokio::net::TcpListener;

use crate::client::{Answer, Served, known, serve, served};

const READ: &str = "read-token-0123456789";
const CHANGE: &str = "change-token-0123456789";
const FORCE: &str = "force-token-0123456789";

fn credentials() -> Credentials {
    let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
    let hash = hasher
        .hash_password_with_salt(b"s3cret", b"0123456789abcdef")
        .unwrap();
    let hash = hash.to_string();
    Credentials::new()
        .token(READ, Right::Read)
        .and_then(|it| it.token(CHANGE, Right::Change))
        .and_then(|it| it.token(FORCE, Right::Force))
        .and_then(|it| it.user("ann", &hash, Right::Change))
        .unwrap()
}

async fn asked() -> Served {
    let store = Arc::new(MemoryStore::new());
    known(&*store).await;
    serve(store, Access::asked(credentials())).await
}

impl Served {
    async fn by_token(&self, method: &str, path: &str, token: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.ask(
            method,
            path,
            &headers,
            if method == "POST" { "{}" } else { "" },
        )
        .await
    }
}

/// A path of a route, with names that nothing has.
fn named(route: &Route) -> String {
    route.path.replace(['{', '}'], "")
}

#[tokio::test]
async fn f19_f34_every_route_needs_the_right_that_the_table_says() {
    let served = asked().await;
    let bearers = [None, Some(READ), Some(CHANGE), Some(FORCE)];
    let rights = [
        None,
        Some(Right::Read),
        Some(Right::Change),
        Some(Right::Force),
    ];
    let all = routes();
    for route in all.iter().filter(|route| !route.path.ends_with("/events")) {
        let path = named(route);
        for (bearer, right) in bearers.into_iter().zip(rights) {
            // A form of a login is looked at by itself.
            if route.path == "/login" && route.method == "POST" {
                continue;
            }
            let bearer = bearer.map(|token| format!("Bearer {token}"));
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(bearer.as_deref().map(|it| ("authorization", it)));
            let body = if route.method == "POST" { "{}" } else { "" };
            let answer = served.ask(route.method, &path, &headers, body).await;
            let is_let_in = right >= route.right;
            let expected = match (is_let_in, right) {
                (true, _) => !matches!(answer.status, 401 | 403 | 405 | 500),
                (false, None) => answer.status == 401,
                (false, Some(_)) => answer.status == 403,
            };
            assert!(expected, "{route:?} by {right:?}: {answer:?}");
        }
        // A method that the path has no route for is no way in.
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "POST", "GET"] {
            if all
                .iter()
                .any(|it| it.path == route.path && it.method == method)
            {
                continue;
            }
            let nobody = served.ask(method, &path, &[], "").await.status;
            assert!(matches!(nobody, 401 | 405), "{method} {path}: {nobody}");
            let known = served.by_token(method, &path, FORCE).await.status;
            assert_eq!(known, 405, "{method} {path}");
        }
    }
    let public = all.iter().filter(|route| route.right.is_none());
    let mut public: Vec<&str> = public.map(|route| route.path.as_str()).collect();
    public.dedup();
    let expected = [
        "/assets/tenure.css",
        "/assets/tenure.js",
        "/assets/tenure.svg",
        "/login",
        "/healthz",
        "/readyz",
    ];
    assert_eq!(public, expected);
    let forced = all.iter().filter(|route| route.right == Some(Right::Force));
    let forced: Vec<&str> = forced.map(|route| route.path.as_str()).collect();
    assert_eq!(forced, ["/unlock", "/api/v1/locks/{key}/force"]);
}

#[tokio::test]
async fn e90_a_token_of_odd_characters_opens_as_any_other() {
    let odd = "größer; \"quoted\", spaced = 日本-0123456789";
    let credentials = Credentials::new().token(odd, Right::Read).unwrap();
    let served = serve(Arc::new(MemoryStore::new()), Access::asked(credentials)).await;
    assert_eq!(served.by_token("GET", "/api/v1/now", odd).await.status, 200);
    let near = odd.replace('ß', "ss");
    assert_eq!(
        served.by_token("GET", "/api/v1/now", &near).await.status,
        401
    );
}

#[tokio::test]
async fn f29_a_token_ends_is_taken_back_and_its_sessions_end_with_it() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(MemoryStore::new());
    known(&*store).await;
    let soon = clock.wall() + Duration::from_secs(60);
    let (short, short_secret) = ApiToken::random("short", Right::Read).unwrap();
    let (long, long_secret) = ApiToken::random("long", Right::Change).unwrap();
    let list = TokenList::new(vec![short.until(soon), long.clone()]);
    let access = Access::asked(Credentials::new().tokens(&list));
    let dashboard = Dashboard::builder(store.clone(), store.clone()).clock(clock.clone());
    let served = served(&dashboard.access(access).build()).await;
    let now = async |token: &str| served.by_token("GET", "/api/v1/now", token).await.status;
    assert_eq!(now(&short_secret).await, 200);
    let session = session(&served, &format!("token={long_secret}")).await;
    let by_session = async || {
        let headers = [("cookie", session.as_str())];
        served.ask("GET", "/api/v1/now", &headers, "").await.status
    };
    assert_eq!(by_session().await, 200);
    // Whoever changes something is recorded under the token's name.
    let paused = served
        .by_token("POST", "/api/v1/tasks/a/pause", &long_secret)
        .await;
    assert_eq!(paused.json()["by"], "long", "{paused:?}");

    clock.advance(Duration::from_secs(60));
    assert_eq!(now(&short_secret).await, 401);
    assert_eq!(now(&long_secret).await, 200);
    // A right that was taken away is gone from the session too, which has to begin anew.
    let (fresh, fresh_secret) = ApiToken::random("fresh", Right::Read).unwrap();
    list.replace(vec![fresh]);
    assert_eq!(now(&long_secret).await, 401);
    assert_eq!(by_session().await, 401);
    assert_eq!(now(&fresh_secret).await, 200);
    list.replace(vec![long]);
    assert_eq!(by_session().await, 401);
    list.replace(Vec::new());
    assert_eq!(now(&fresh_secret).await, 401);
}

#[tokio::test]
async fn f27_f29_a_stream_ends_with_the_token_that_opened_it() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let store = Arc::new(MemoryStore::new());
    known(&*store).await;
    let (token, secret) = ApiToken::random("listener", Right::Read).unwrap();
    let list = TokenList::new(vec![token]);
    let access = Access::asked(Credentials::new().tokens(&list));
    let served = serve(store.clone(), access).await;
    let mut stream = tokio::net::TcpStream::connect(served.address)
        .await
        .unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {secret}\r\n\
         connection: close\r\n\r\n",
        served.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    list.replace(Vec::new());
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let ended = tokio::time::timeout(Duration::from_secs(120), ended).await;
    assert!(ended.is_ok(), "the stream goes on");
}

/// The cookie of a session that began with this form.
async fn session(served: &Served, form: &str) -> String {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let answer = served.ask("POST", "/login", &[kind], form).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn f20_whoever_may_only_look_can_log_out() {
    let served = asked().await;
    let cookie = session(&served, &format!("token={READ}")).await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = [("cookie", cookie.as_str()), form];
    let out = served.ask("POST", "/logout", &headers, "").await;
    assert_eq!(out.status, 303, "{out:?}");
    let answer = served.ask("GET", "/api/v1/now", &headers[..1], "").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn e90_f25_wrong_credentials_get_one_answer_and_then_have_to_wait() {
    let served = asked().await;
    let mut bodies = Vec::new();
    for authorization in [
        "Bearer wrong-token-0123456789",
        "Bearer",
        "Basic YW5uOndyb25n",
        "Basic Ym9iOnMzY3JldA==",
        "Basic !",
        "Digest x",
    ] {
        let headers = [("authorization", authorization)];
        let answer = served.ask("GET", "/api/v1/now", &headers, "").await;
        assert_eq!(answer.status, 401, "{authorization}");
        bodies.push(answer.body);
    }
    assert!(bodies.windows(2).all(|two| two[0] == two[1]), "{bodies:?}");
    let right = [("authorization", "Basic YW5uOnMzY3JldA==")];
    assert_eq!(
        served.ask("GET", "/api/v1/now", &right, "").await.status,
        200
    );
    let mut last = 401;
    for _ in 0..10 {
        last = served
            .by_token("GET", "/api/v1/now", "wrong-token-0123456789")
            .await
            .status;
    }
    assert_eq!(last, 429);
    assert_eq!(
        served.by_token("GET", "/api/v1/now", READ).await.status,
        429
    );
}

#[tokio::test]
async fn f20_f21_a_login_gives_a_cookie_that_changes_nothing_without_its_token() {
    let served = asked().await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let page = served
        .ask("GET", "/tasks", &[("accept", "text/html")], "")
        .await;
    assert_eq!(
        (page.status, page.header("location")),
        (303, Some("/login"))
    );
    // What the login page needs is there for those who are not logged in.
    let login = served.ask("GET", "/login", &[], "").await;
    let style = login.body.split("stylesheet\" href=\"").nth(1).unwrap();
    let style = style.split('"').next().unwrap();
    let sheet = served.ask("GET", style, &[], "").await;
    assert_eq!(sheet.status, 200, "{style}");
    assert!(sheet.body.contains(".login"), "{style}");
    let wrong = served
        .ask("POST", "/login", &[form], "user=ann&password=x")
        .await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    let foreign = [form, ("origin", "http://evil.example")];
    let stolen = served
        .ask("POST", "/login", &foreign, "user=ann&password=s3cret")
        .await;
    assert_eq!(stolen.status, 403);
    let right = served
        .ask("POST", "/login", &[form], "user=ann&password=s3cret")
        .await;
    assert_eq!(right.status, 303, "{right:?}");
    let cookie = right.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let with = |extra: &[(&'static str, &'static str)]| {
        let mut headers = vec![
            ("cookie", cookie.as_str()),
            ("content-type", "application/json"),
        ];
        headers.extend_from_slice(extra);
        headers
    };
    assert_eq!(
        served
            .ask("GET", "/api/v1/now", &with(&[]), "")
            .await
            .status,
        200
    );
    let path = "/api/v1/tasks/a/pause";
    for extra in [
        &[][..],
        &[("x-tenure-form-token", "0123")],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(
            served.ask("POST", path, &with(extra), "{}").await.status,
            403,
            "{extra:?}"
        );
    }
    let out = served
        .ask("POST", "/logout", &[("cookie", &cookie), form], "")
        .await;
    assert_eq!(out.status, 303);
    assert_eq!(
        served
            .ask("GET", "/api/v1/now", &with(&[]), "")
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn e91_changes_from_other_sites_pages_are_refused() {
    let store = Arc::new(MemoryStore::new());
    known(&*store).await;
    let served = serve(store, Access::open(Right::Change)).await;
    let own = format!("http://{}", served.address);
    for (name, value, status) in [
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("origin", own.as_str(), 200),
    ] {
        let headers = [("content-type", "application/json"), (name, value)];
        let answer = served
            .ask("POST", "/api/v1/tasks/a/resume", &headers, "{}")
            .await;
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
    }
}

#[tokio::test]
async fn e92_f22_other_hosts_are_not_served() {
    let store = Arc::new(MemoryStore::new());
    let served = serve(store, Access::open(Right::Change)).await;
    for (host, status) in [
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost", 200),
        ("127.0.0.1:1", 200),
    ] {
        let answer = served.ask("GET", "/healthz", &[("host", host)], "").await;
        assert_eq!(answer.status, status, "{host}");
    }
    let none = served.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(none.starts_with("HTTP/1.0 421"), "{none}");
}

/// One path of each kind of answer, with the status that nobody in particular gets.
const ANSWERS: [(&str, &str, Option<&str>, u16); 8] = [
    ("GET", "/healthz", None, 200),
    ("GET", "/login", None, 200),
    ("GET", "/assets/tenure.css", None, 200),
    ("GET", "/nothing", None, 401),
    ("GET", "/api/v1/now", None, 401),
    ("GET", "/api/v1/nothing", None, 401),
    ("DELETE", "/healthz", None, 405),
    ("GET", "/healthz", Some("evil.example"), 421),
];

#[tokio::test]
async fn f23_every_answer_has_the_headers_that_keep_browsers_safe() {
    let served = asked().await;
    for (method, path, host, status) in ANSWERS {
        let headers: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
        let answer = served.ask(method, path, &headers, "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        let kept = if path.starts_with("/assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-store"
        };
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                 connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            (
                "permissions-policy",
                "camera=(), geolocation=(), microphone=(), payment=()",
            ),
            ("cache-control", kept),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {path}");
        }
        for name in ["access-control-allow-origin", HSTS] {
            assert_eq!(answer.header(name), None, "{method} {path}");
        }
    }
}

const HSTS: &str = "strict-transport-security";

/// A dashboard that asks for credentials and believes the proxies of a network.
async fn behind(network: &str, names_users: bool) -> Served {
    let peers = Peers::parse([network]).unwrap();
    let store = Arc::new(MemoryStore::new());
    let dashboard = Dashboard::builder(store.clone(), store.clone());
    let dashboard = if names_users {
        let credentials = credentials().proxy_header("x-user", peers, Right::Read);
        dashboard.access(Access::asked(credentials.unwrap()))
    } else {
        dashboard
            .access(Access::asked(credentials()))
            .proxies(peers)
    };
    served(&dashboard.build()).await
}

#[tokio::test]
async fn f23_f26_browsers_are_bound_to_tls_where_a_proxy_that_is_believed_says_it() {
    for names_users in [false, true] {
        for (network, is_believed) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
            let served = behind(network, names_users).await;
            for (method, path, host, status) in ANSWERS {
                let mut headers = vec![("x-forwarded-proto", "https")];
                headers.extend(host.map(|host| ("host", host)));
                let answer = served.ask(method, path, &headers, "").await;
                assert_eq!(answer.status, status, "{method} {path}");
                let expected = is_believed.then_some("max-age=31536000");
                assert_eq!(answer.header(HSTS), expected, "{method} {path} {network}");
            }
        }
    }
}

#[tokio::test]
async fn f23_f26_only_a_clear_word_for_tls_binds_browsers_to_it() {
    let served = behind("127.0.0.0/8", false).await;
    for (said, is_tls) in [
        (&[][..], false),
        (&["http"], false),
        (&[""], false),
        (&["httpss"], false),
        (&["HTTPS"], true),
        (&["https, https"], true),
        (&["https, http"], false),
        (&["http", "https"], false),
        (&["https", "https"], true),
    ] {
        let headers: Vec<_> = said.iter().map(|it| ("x-forwarded-proto", *it)).collect();
        let answer = served.ask("GET", "/login", &headers, "").await;
        assert_eq!(answer.header(HSTS).is_some(), is_tls, "{said:?}");
    }
    // Other words of a proxy do not speak of it.
    let other = [("forwarded", "proto=https"), ("x-forwarded-ssl", "on")];
    let answer = served.ask("GET", "/login", &other, "").await;
    assert_eq!(answer.header(HSTS), None);
}

#[tokio::test]
async fn f26_a_proxys_header_counts_only_from_the_proxy() {
    for (peers, status) in [("127.0.0.0/8", 200), ("192.0.2.0/24", 401)] {
        let store = Arc::new(MemoryStore::new());
        known(&*store).await;
        let peers = Peers::parse([peers]).unwrap();
        let credentials = Credentials::new();
        let credentials = credentials
            .proxy_header("x-user", peers, Right::Change)
            .unwrap();
        let dashboard = Dashboard::builder(store.clone(), store.clone());
        let served = served(&dashboard.access(Access::asked(credentials)).build()).await;
        let headers = [("x-user", "ann"), ("content-type", "application/json")];
        let answer = served
            .ask("POST", "/api/v1/tasks/a/pause", &headers, "{}")
            .await;
        assert_eq!(answer.status, status);
        if status == 200 {
            assert_eq!(answer.json()["by"], "ann");
            for (name, status) in [("Jürgen 山田", 200), ("\u{85}", 401), ("", 401)] {
                let named = [("x-user", name)];
                let answer = served.ask("GET", "/api/v1/now", &named, "").await;
                assert_eq!(answer.status, status, "{name:?}");
            }
            let twice = [("x-user", "ann"), ("x-user", "root")];
            let answer = served.ask("GET", "/api/v1/now", &twice, "").await;
            assert_eq!(answer.status, 401);
        }
    }
}

#[tokio::test]
async fn f17_beyond_loopback_it_is_served_only_with_a_credential() {
    let store = Arc::new(MemoryStore::new());
    for (access, is_served) in [
        (Access::open(Right::Read), false),
        (Access::open(Right::Change), false),
        (Access::asked(Credentials::new()), false),
        (Access::asked(credentials()), true),
    ] {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let dashboard = Dashboard::builder(store.clone(), store.clone());
        let server = Server::new(&dashboard.access(access).build(), listener);
        assert_eq!(server.is_ok(), is_served);
        if let Err(error) = server {
            assert!(matches!(error, ServeError::Open { .. }));
            assert!(error.to_string().contains("set a token"), "{error}");
        }
    }
}

#[tokio::test]
async fn f18_without_any_credential_nobody_gets_in() {
    let store = Arc::new(MemoryStore::new());
    let dashboard = Dashboard::builder(store.clone(), store.clone()).build();
    let served = served(&dashboard).await;
    assert_eq!(served.get("/api/v1/now").await.status, 401);
    assert_eq!(served.by_token("GET", "/api/v1/now", "").await.status, 401);
}
