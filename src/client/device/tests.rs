use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::onenet::token;
use super::sign::key_of_base64;
use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn the_token_of_onenets_own_example_is_made() {
    let key = "EnW4T71eIE55xOIQMN6pFMKuqel5T5HTzsGJRPiDhlM=";
    let device = OneNet::new("238322", "mqtts-test-device", key).unwrap();
    let device = device.method(Method::Sha1).lifetime(Duration::from_secs(130));
    let login = device.login(at(7_557_387_000)).unwrap();
    assert_eq!(login.client_identifier, "mqtts-test-device");
    assert_eq!(login.user_name, "238322");
    assert_eq!(
        login.password.unwrap(),
        "version=2018-10-31&res=products%2F238322%2Fdevices%2Fmqtts-test-device&et=7557387130&method=sha1&\
         sign=Rs0u%2FKnyoK5%2FMuKo5xKa0tW%2BWqY%3D"
    );
    assert_eq!(login.expires_at, Some(at(7_557_387_130)));
}

#[test]
fn onenets_tokens_are_signed_with_each_digest_for_products_and_devices() {
    let key = key_of_base64("KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw=").unwrap();
    let expected = [
        ("products/123123", Method::Md5, "M3jB6jcSNUuGcvW3dFcrWA=="),
        ("products/123123", Method::Sha1, "lsaPSiiGvEFFjXu5WU7a6IkScqE="),
        ("products/123123", Method::Sha256, "tuFMd8Cc5krZO+RiNaW4mad5tauSFq2J89Gd70MXQPI="),
        ("products/123123/devices/mydev", Method::Md5, "XV29qkZOl7StAMRW9zVvaQ=="),
        ("products/123123/devices/mydev", Method::Sha1, "p2Bv5QYrZolQCtt68923gtxRCVk="),
        ("products/123123/devices/mydev", Method::Sha256, "dL9mxHdJXyd2TZcmTna60TMUei2dYU5W6iOow7fH/7w="),
    ];
    for (resource, method, signature) in expected {
        let token = token(resource, &key, method, 1_537_255_523);
        assert!(token.ends_with(&format!("&sign={}", sign::percent_encode(signature))), "{resource} {token}");
    }
}

#[test]
fn alibabas_signature_is_that_of_its_example() {
    let device = || {
        let device = Alibaba::new("123456789", "abcdefg", "Y877Bgo8X5owd3lcB5wWDjryNPoB").unwrap();
        device.client("123456789.abcdefg").unwrap()
    };
    // The example's time is in the place of milliseconds.
    let time = UNIX_EPOCH + Duration::from_millis(32_472_115_200);
    let expected = [
        (Method::Md5, "16CB9B20009795D576E9172CDC820646"),
        (Method::Sha1, "4E5358D2C33CA163BDA58EC994B9E312712230C7"),
        (Method::Sha256, "2842DC9F2FBA19C671DD3F4D24590D41F91C25FD9BC4E5101951BEA88B7DEACD"),
    ];
    for (method, signature) in expected {
        let login = device().method(method).login(time).unwrap();
        assert_eq!(login.password.unwrap().to_uppercase(), signature, "{method:?}");
        let name = method.name();
        let identifier =
            format!("123456789.abcdefg|securemode=2,signmethod=hmac{name},timestamp=32472115200|");
        assert_eq!(login.client_identifier, identifier);
    }
    let login = device().without_tls().login(time).unwrap();
    assert_eq!(login.user_name, "abcdefg&123456789");
    assert!(login.client_identifier.contains("securemode=3"), "{login:?}");
}

#[test]
fn tuyas_signature_is_that_of_its_example() {
    let login =
        Tuya::new("6c95875d0f5ba69607nzfl", "fb803786602df760").unwrap().login(at(1_700_000_000)).unwrap();
    assert_eq!(login.client_identifier, "tuyalink_6c95875d0f5ba69607nzfl");
    assert_eq!(
        login.user_name,
        "6c95875d0f5ba69607nzfl|signMethod=hmacSha256,timestamp=1700000000,secureMode=1,accessType=1"
    );
    let expected = "1560ae9a5d22067b47f6e98347c6e408fd9e9b63cd6c1f354fedbe452b0375db";
    assert_eq!(login.password.unwrap(), expected);
}

#[test]
fn huaweis_hour_is_the_key_of_its_signature() {
    // 2023-11-15 06:30 UTC.
    let login = Huawei::new("d1", "123456789").unwrap().login(at(1_700_029_800)).unwrap();
    assert_eq!(login.client_identifier, "d1_0_0_2023111506");
    let expected = "1c05cd54cb1b9585d40f10581aa2c84bf8c93c418eceff2f55f55dbc396c5b32";
    assert_eq!(login.password.unwrap(), expected);
    let checked =
        Huawei::new("d1", "123456789").unwrap().with_checked_time().login(at(1_700_029_800)).unwrap();
    assert_eq!(checked.client_identifier, "d1_0_1_2023111506");
}

#[test]
fn azures_signature_is_that_of_its_hub() {
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let device = Azure::new("myhub.azure-devices.net", "dev1", key).unwrap();
    let login = device.lifetime(Duration::from_secs(100)).login(at(1_699_999_900)).unwrap();
    assert_eq!(login.user_name, "myhub.azure-devices.net/dev1/?api-version=2021-04-12");
    assert_eq!(
        login.password.unwrap(),
        "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&\
         sig=wosmA3uJK9T0mdB5CIYn%2BsAVA2ODflnucuvNO5S6mbM%3D&se=1700000000"
    );
}

#[test]
fn a_name_or_a_key_that_the_platform_could_not_read_is_refused() {
    let key = "S2V5";
    assert_eq!(OneNet::new("p", "a/b", key).err(), Some(DeviceError::Name("the device")));
    assert_eq!(OneNet::new("", "d", key).err(), Some(DeviceError::Name("the product")));
    assert_eq!(OneNet::new("p", "d", "not base64!").err(), Some(DeviceError::Key));
    assert_eq!(Alibaba::new("p&q", "d", "s").err(), Some(DeviceError::Name("the product key")));
    assert_eq!(Azure::new("hub", "d/e", key).err(), Some(DeviceError::Name("the device")));
    assert_eq!(ThingsBoard::new("c", "").err(), Some(DeviceError::Name("the access token")));
    let before = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(OneNet::new("p", "d", key).unwrap().login(before).err(), Some(DeviceError::Time));
    let long = OneNet::new("p", "d", key).unwrap().lifetime(Duration::MAX);
    assert_eq!(long.login(at(1)).err(), Some(DeviceError::Time));
}

#[test]
fn a_password_is_not_shown() {
    let login = OneNet::new("p", "d", "S2V5").unwrap().login(at(1)).unwrap();
    let shown = format!("{login:?}");
    assert!(!shown.contains("sign="), "{shown}");
}
