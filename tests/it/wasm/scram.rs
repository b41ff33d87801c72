//! Clients that prove by SCRAM-SHA-256 that they know a password.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate::packet::{Auth, Connack, Connect, Packet, ProtocolVersion, ReasonCode};
use tidegate::plugin::PluginOptions;

use super::{Broker, base64, module};
use crate::support::client::Client;
use crate::support::{QOS1, within};

const METHOD: &str = "SCRAM-SHA-256";
const USER: &str = "user";
const PASSWORD: &str = "pencil";
/// The example of RFC 7677: what is known of that password.
const ENTRY: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn scram_auth(more: Value) -> PluginOptions {
    let mut settings = json!({ "users": { USER: ENTRY, "other": ENTRY } });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    PluginOptions { settings, ..PluginOptions::new("scram-auth", module("scram-auth")) }
}

/// The client's side of one exchange.
struct Scram {
    password: &'static str,
    bare: String,
    server_final: String,
}

impl Scram {
    fn new(name: &str, password: &'static str) -> Scram {
        Scram { password, bare: format!("n={name},r=rOprNGfwEbeRWgbNEkqO"), server_final: String::new() }
    }

    fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    fn answer(&mut self, server_first: &[u8]) -> String {
        let server_first = str::from_utf8(server_first).unwrap();
        let parts: Vec<&str> = server_first.split(',').collect();
        let [nonce, salt, iterations] = parts[..] else { panic!("{server_first}") };
        assert!(nonce.len() > "r=rOprNGfwEbeRWgbNEkqO".len() && nonce.starts_with("r=rOprNGfwEbeRWgbNEkqO"));
        let salt = base64::decode(salt.strip_prefix("s=").unwrap());
        let iterations = iterations.strip_prefix("i=").unwrap().parse().unwrap();
        let salted = pbkdf2(self.password.as_bytes(), &salt, iterations);
        let client_key = sign(&salted, b"Client Key");
        let without_proof = format!("c=biws,{nonce}");
        let message = format!("{},{server_first},{without_proof}", self.bare);
        let signature = sign(&Sha256::digest(client_key), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signed)| key ^ signed).collect();
        let server_signature = sign(&sign(&salted, b"Server Key"), message.as_bytes());
        self.server_final = format!("v={}", base64::encode(&server_signature));
        format!("{without_proof},p={}", base64::encode(&proof))
    }
}

fn sign(key: &[u8], message: &[u8]) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().into()
}

fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut block = sign(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = block;
    for _ in 1..iterations {
        block = sign(password, &block);
        sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn asks(client_identifier: &str, scram: &Scram) -> Connect {
    Connect {
        authentication_method: Some(METHOD.into()),
        authentication_data: Some(scram.first().into()),
        ..Connect::new(ProtocolVersion::V5, client_identifier.to_string().into())
    }
}

impl Broker {
    /// A client that was challenged, and its challenge.
    async fn challenged(&self, connect: Connect) -> (Client, Vec<u8>) {
        let mut client = Client::open(&self.server, ProtocolVersion::V5).await;
        client.send(Packet::Connect(Box::new(connect))).await;
        let challenge = auth_of(&mut client, ReasonCode::CONTINUE_AUTHENTICATION).await;
        (client, challenge)
    }

    async fn prove(
        &self,
        client_identifier: &str,
        name: &str,
        password: &'static str,
    ) -> (Client, Connack, Scram) {
        let mut scram = Scram::new(name, password);
        let (mut client, challenge) = self.challenged(asks(client_identifier, &scram)).await;
        answer(&mut client, &scram.answer(&challenge)).await;
        let connack = connack(&mut client).await;
        (client, connack, scram)
    }

    async fn let_in(&self, client_identifier: &str) -> Client {
        let (client, connack, scram) = self.prove(client_identifier, USER, PASSWORD).await;
        assert_eq!(connack.reason_code, ReasonCode::SUCCESS);
        assert_eq!(connack.authentication_method.as_deref(), Some(METHOD));
        assert_eq!(connack.authentication_data.as_deref(), Some(scram.server_final.as_bytes()));
        client
    }
}

async fn connack(client: &mut Client) -> Connack {
    match client.receive().await {
        Packet::Connack(connack) => *connack,
        other => panic!("{other:?} in place of CONNACK"),
    }
}

async fn auth_of(client: &mut Client, reason_code: ReasonCode) -> Vec<u8> {
    match client.receive().await {
        Packet::Auth(auth) if auth.reason_code == reason_code => auth.authentication_data.unwrap().to_vec(),
        other => panic!("{other:?} in place of AUTH"),
    }
}

async fn send(client: &mut Client, reason_code: ReasonCode, data: &str) {
    let (method, data) = (Some(METHOD.into()), Some(data.to_string().into()));
    let auth =
        Auth { reason_code, authentication_method: method, authentication_data: data, ..Auth::default() };
    client.send(Packet::Auth(Box::new(auth))).await;
}

async fn answer(client: &mut Client, data: &str) {
    send(client, ReasonCode::CONTINUE_AUTHENTICATION, data).await;
}

/// Begins a re-authentication, and says what to answer.
async fn begin_again(client: &mut Client, scram: &mut Scram) -> String {
    send(client, ReasonCode::RE_AUTHENTICATE, &scram.first()).await;
    scram.answer(&auth_of(client, ReasonCode::CONTINUE_AUTHENTICATION).await)
}

async fn authenticate_again(client: &mut Client) {
    let mut scram = Scram::new(USER, PASSWORD);
    let proof = begin_again(client, &mut scram).await;
    answer(client, &proof).await;
    assert_eq!(auth_of(client, ReasonCode::SUCCESS).await, scram.server_final.as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_and_broker_prove_to_each_other_that_they_know_the_password() {
    let broker = Broker::start(&[scram_auth(json!({}))]).await;
    let mut client = broker.let_in("a").await;
    client.subscribe("t", QOS1).await;
    client.publish("t", "x", QOS1).await;
    assert_eq!(client.payloads(1).await, ["x"]);
    let user_name = broker.server.clients()[0].client.as_ref().unwrap().user_name.clone();
    assert_eq!(user_name.as_deref(), Some(USER), "the name that was proved");
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_know_the_password_learns_nothing_and_disturbs_nobody() {
    let broker = Broker::start(&[scram_auth(json!({}))]).await;
    let mut client = broker.let_in("a").await;
    let mut told = Vec::new();
    for (name, password) in [(USER, "pencils"), ("nobody", PASSWORD)] {
        let (mut refused, connack, _) = broker.prove("a", name, password).await;
        assert_eq!(connack.reason_code, ReasonCode::NOT_AUTHORIZED);
        assert_eq!(refused.receive_or_end().await, None);
        told.push(connack);
    }
    assert_eq!(told[0], told[1]);
    client.ping().await;
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_under_anothers_user_name_and_other_methods_are_refused() {
    let broker = Broker::start(&[scram_auth(json!({}))]).await;
    let mut scram = Scram::new(USER, PASSWORD);
    let claims = Connect { user_name: Some("other".into()), ..asks("a", &scram) };
    let (mut client, challenge) = broker.challenged(claims).await;
    answer(&mut client, &scram.answer(&challenge)).await;
    assert_eq!(connack(&mut client).await.reason_code, ReasonCode::NOT_AUTHORIZED);
    let sha_1 = Connect { authentication_method: Some("SCRAM-SHA-1".into()), ..asks("a", &scram) };
    let (_, connack) = Client::try_connect(&broker.server, sha_1).await;
    assert_eq!(connack.reason_code, ReasonCode::BAD_AUTHENTICATION_METHOD);
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_stays_as_long_as_it_authenticates_itself_again() {
    let broker = Broker::start(&[scram_auth(json!({ "expires-after-seconds": 2 }))]).await;
    let mut renewing = broker.let_in("renewing").await;
    let mut ending = broker.let_in("ending").await;
    let (ended, mut still_there) = tokio::join!(ending.end(), async {
        // Until the other, which came later, has ended.
        while broker.server.clients().iter().any(|status| &*status.client_identifier == "ending") {
            authenticate_again(&mut renewing).await;
        }
        renewing
    });
    assert_eq!(ended, Some(ReasonCode::NOT_AUTHORIZED));
    still_there.ping().await;
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_prove_itself_again_or_is_somebody_else_is_disconnected() {
    let broker = Broker::start(&[scram_auth(json!({}))]).await;
    for (name, password) in [(USER, "pencils"), ("other", PASSWORD)] {
        let mut client = broker.let_in("a").await;
        let proof = begin_again(&mut client, &mut Scram::new(name, password)).await;
        client.ping().await;
        answer(&mut client, &proof).await;
        assert_eq!(client.end().await, Some(ReasonCode::NOT_AUTHORIZED), "{name}");
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_goes_on_while_the_plugin_is_replaced() {
    let broker = Broker::start(&[scram_auth(json!({}))]).await;
    let mut inside = broker.let_in("inside").await;
    let (mut again, mut entering) = (Scram::new(USER, PASSWORD), Scram::new(USER, PASSWORD));
    let proof = begin_again(&mut inside, &mut again).await;
    let (mut client, challenge) = broker.challenged(asks("a", &entering)).await;
    broker.host.reload(&[scram_auth(json!({ "expires-after-seconds": 3600 }))]).expect("reloaded");
    assert_eq!(broker.host.status()[0].version, 2);
    answer(&mut client, &entering.answer(&challenge)).await;
    let connack = connack(&mut client).await;
    assert_eq!(connack.reason_code, ReasonCode::SUCCESS);
    assert_eq!(connack.authentication_data.as_deref(), Some(entering.server_final.as_bytes()));
    answer(&mut inside, &proof).await;
    assert_eq!(auth_of(&mut inside, ReasonCode::SUCCESS).await, again.server_final.as_bytes());
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_ends_where_its_plugin_or_its_user_is_gone() {
    let broker = Broker::start(&[scram_auth(json!({}))]).await;
    let without_user = PluginOptions {
        settings: json!({ "users": { "another": ENTRY } }),
        ..PluginOptions::new("scram-auth", module("scram-auth"))
    };
    let cases = [
        (vec![without_user], ReasonCode::NOT_AUTHORIZED),
        (vec![PluginOptions::new("audit-log", module("audit-log"))], ReasonCode::BAD_AUTHENTICATION_METHOD),
        (vec![], ReasonCode::BAD_AUTHENTICATION_METHOD),
    ];
    for (plugins, expected) in cases {
        broker.host.reload(&[scram_auth(json!({}))]).expect("reloaded");
        let mut inside = broker.let_in("inside").await;
        let proof = begin_again(&mut inside, &mut Scram::new(USER, PASSWORD)).await;
        let mut scram = Scram::new(USER, PASSWORD);
        let (mut client, challenge) = broker.challenged(asks("a", &scram)).await;
        broker.host.reload(&plugins).expect("reloaded");
        answer(&mut client, &scram.answer(&challenge)).await;
        assert_eq!(connack(&mut client).await.reason_code, expected);
        answer(&mut inside, &proof).await;
        assert_eq!(inside.end().await, Some(ReasonCode::NOT_AUTHORIZED));
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mqtt_js_authenticates_itself() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    if !clients.join("node_modules/mqtt").is_dir() {
        return println!("PASSED OVER: MQTT.js is not installed; npm ci in tests/clients");
    }
    let broker = Broker::start(&[scram_auth(json!({}))]).await;
    let address = broker.server.addresses()[0];
    let mut node = tokio::process::Command::new("node");
    node.arg(clients.join("mqttjs_scram.mjs")).args([address.ip().to_string(), address.port().to_string()]);
    node.args([USER, PASSWORD]).stdin(Stdio::null()).kill_on_drop(true);
    let ran = tokio::time::timeout(Duration::from_secs(60), node.output()).await.expect("an end").unwrap();
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}\n{complained}", String::from_utf8_lossy(&ran.stdout));
    assert_eq!(broker.server.statistics().protocol_errors, 0);
    within(broker.server.shutdown()).await;
}
