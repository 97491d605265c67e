#!/bin/sh
# Starts a throw-away Dovecot that keeps everything in DIR, on free loopback
# ports: IMAPS and STARTTLS, passwords and client certificates (SASL EXTERNAL),
# for the users test1 to test4@ch.example, and three for mail that goes both ways (see
# .ci/exim.sh). Prints where it is:
#
#	eval "$(.ci/dovecot.sh DIR)"
#
# Stop it with: .ci/dovecot.sh DIR stop
#
# As root, mail belongs to nobody, who must be able to reach DIR.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DIR [stop]" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
dovecot=$(command -v dovecot || echo /usr/sbin/dovecot)
if [ "${2:-}" = stop ]; then
	pid=$(cat "$dir/run/master.pid")
	kill "$pid"
	n=0
	while kill -0 "$pid" 2>/dev/null; do
		n=$((n + 1))
		[ $n -le 100 ] || { echo "$0: the server does not stop" >&2; exit 1; }
		sleep 0.1
	done
	exit 0
fi

# Certificates: an authority, the server, one client for each user.
umask 077
cd "$dir"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Greffe test CA" \
	-keyout ca.key -out ca.pem 2>openssl.log
issue() { # NAME COMMON-NAME EXTENSIONS
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr" 2>>openssl.log
	printf '%b' "$3" >"$1.ext"
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt" 2>>openssl.log
	cat "$1.crt" "$1.key" >"$1.pem"
	rm "$1.csr" "$1.ext"
}
issue server localhost "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
users="test1@ch.example test2@ch.example test3@ch.example test4@ch.example app@ch.example service@ch.example correspondant@cabinet.example"
for user in $users; do
	issue "$user" "$user" "extendedKeyUsage=clientAuth\n"
	echo "$user:{PLAIN}secret::::::" >>passwd
done

ports=$(python3 -c '
import socket
both = [socket.socket() for _ in range(2)]
for s in both: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in both])')
imaps=${ports% *}
imap=${ports#* }
mkdir -p run state mail
if [ "$(id -u)" = 0 ]; then
	mailuser=nobody
	internal="default_internal_user = dovecot
default_login_user = dovenull"
	chown "$mailuser" mail
	chmod 755 . run state
	chgrp dovecot passwd && chmod 640 passwd
else
	mailuser=$(id -un)
	internal="default_internal_user = $mailuser
default_internal_group = $(id -gn)
default_login_user = $mailuser
service anvil {
  chroot =
}
service imap-login {
  chroot =
}"
fi
cat >dovecot.conf <<CONF
base_dir = $dir/run
state_dir = $dir/state
log_path = $dir/server.log
protocols = imap
listen = 127.0.0.1
$internal
first_valid_uid = 1
mail_uid = $(id -u "$mailuser")
mail_gid = $(id -g "$mailuser")
mail_home = $dir/mail/%u
mail_location = maildir:~/Maildir
mail_max_userip_connections = 100
ssl = required
ssl_min_protocol = TLSv1.2
ssl_cert = <$dir/server.crt
ssl_key = <$dir/server.key
ssl_ca = <$dir/ca.pem
ssl_verify_client_cert = yes
ssl_require_crl = no
ssl_cert_username_field = commonName
auth_ssl_username_from_cert = yes
auth_mechanisms = plain login external
auth_failure_delay = 0
service anvil {
  # No growing delay after refused logins: the tests make some on purpose.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
passdb {
  driver = passwd-file
  mechanisms = plain login
  args = $dir/passwd
}
passdb {
  driver = static
  mechanisms = external
  args = nopassword
}
userdb {
  driver = static
  args = uid=$(id -u "$mailuser") gid=$(id -g "$mailuser") home=$dir/mail/%u allow_all_users=yes
}
service imap-login {
  inet_listener imap {
    port = $imap
  }
  inet_listener imaps {
    port = $imaps
    ssl = yes
  }
}
namespace inbox {
  inbox = yes
  separator = /
}
CONF
"$dovecot" -c "$dir/dovecot.conf" >start.log 2>&1 || { cat start.log server.log >&2; exit 1; }
n=0
until python3 -c "import socket; socket.create_connection(('127.0.0.1', $imaps), 1)" 2>/dev/null; do
	n=$((n + 1))
	[ $n -le 100 ] || { echo "$0: the server does not answer" >&2; cat start.log server.log >&2; exit 1; }
	sleep 0.1
done
cat <<LINES
export GREFFE_TEST_DOVECOT_ADDR='127.0.0.1:$imaps'
export GREFFE_TEST_DOVECOT_STARTTLS='127.0.0.1:$imap'
export GREFFE_TEST_DOVECOT_CA='$dir/ca.pem'
export GREFFE_TEST_DOVECOT_USER='test1@ch.example'
export GREFFE_TEST_DOVECOT_PASSWORD='secret'
export GREFFE_TEST_DOVECOT_CERT='$dir/test1@ch.example.pem'
LINES
