#!/bin/sh
# mosquitto_pub and mosquitto_sub against a broker: QoS 0, 1 and 2, retained, Will, resume.
# Usage: mosquitto.sh HOST PORT 311|5
# MQTT_OPTIONS are added to each command: --cafile, --cert, --key.
set -eu
host=$1 port=$2
case $3 in 311) version=mqttv311 ;; 5) version=mqttv5 ;; *) exit 64 ;; esac
name=mosquitto-$3
base="-h $host -p $port -V $version ${MQTT_OPTIONS:-}"

expect() {
    if [ "$2" != "$3" ]; then
        echo "$1: expected '$2', got '$3'" >&2
        exit 1
    fi
}

# 5.0 keeps a session only for as long as it is told to.
keep="-c"
[ "$3" = 5 ] && keep="-c -x 300"

for qos in 0 1 2; do
    # Retained, so that nothing has to wait for the subscriber.
    mosquitto_pub $base -q $qos -r -t "$name/retained/$qos" -m "kept $qos"
    expect "retained, QoS $qos" "$name/retained/$qos kept $qos" \
        "$(mosquitto_sub $base -q $qos -t "$name/retained/#" -t "$name/none" -v -C 1 -W 10)"
    mosquitto_pub $base -q $qos -r -t "$name/retained/$qos" -n
done

# Resume: a session is made, messages come while nobody is there, and are there afterwards.
mosquitto_sub $base -i "$name-resume" $keep -q 2 -t "$name/resume" -E
for n in 1 2 3; do
    mosquitto_pub $base -q 2 -t "$name/resume" -m "message $n"
done
expect "resume" "message 1
message 2
message 3" "$(mosquitto_sub $base -i "$name-resume" $keep -q 2 -t "$name/resume" -C 3 -W 10)"

# Will: a client that is cut off once it is surely connected, having received a retained message.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/heard"
mosquitto_pub $base -q 1 -r -t "$name/ready" -m ready
mosquitto_sub $base -t "$name/ready" --will-topic "$name/will" --will-payload gone --will-qos 1 --will-retain \
    >"$work/heard" &
victim=$!
read -r heard <"$work/heard"
expect "before the will" "ready" "$heard"
kill -9 $victim
expect "will" "gone" "$(mosquitto_sub $base -q 1 -t "$name/will" -C 1 -W 10)"
mosquitto_pub $base -q 1 -r -t "$name/will" -n
mosquitto_pub $base -q 1 -r -t "$name/ready" -n
echo "mosquitto $3: QoS 0, 1, 2, retained, resume, will"
