#!/bin/sh
# Makes the keys and passwords of docker-compose.yml, once. Needs openssl.
set -eu
cd "$(dirname "$0")"
[ ! -e secrets/pgpass ] || { echo "secrets/ is there already; remove it to start afresh" >&2; exit 1; }
umask 022
mkdir -p secrets && cd secrets
rnd() { openssl rand -hex 20 | tr -d '\n'; }
rnd > mailbox_password
rnd > postgres_password
printf 'postgres:5432:greffe:greffe:%s\n' "$(cat postgres_password)" > pgpass
rnd > s3_access
rnd > s3_secret
for name in ROOT AWS; do # the server reads the first pair, the client that makes the bucket the second
  [ $name = ROOT ] && a=ROOT_ACCESS_KEY s=ROOT_SECRET_KEY || a=AWS_ACCESS_KEY_ID s=AWS_SECRET_ACCESS_KEY
  printf '%s=%s\n%s=%s\n' "$a" "$(cat s3_access)" "$s" "$(cat s3_secret)"
done > s3.env
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 -subj "/CN=Greffe trial CA" \
  -keyout mail_ca.key -out mail_ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=dovecot" -keyout mail_key.pem -out mail.csr 2>/dev/null
printf 'subjectAltName=DNS:dovecot\nextendedKeyUsage=serverAuth\n' > mail.ext
openssl x509 -req -in mail.csr -CA mail_ca.pem -CAkey mail_ca.key -CAcreateserial -days 825 -extfile mail.ext -out mail_cert.pem 2>/dev/null
rm -f mail.csr mail.ext mail_ca.key mail_ca.srl
# The key that signs the journal, as "greffe keys --new" writes it: a note key (C2SP signed-note).
name=greffe-trial-$(rnd | cut -c 1-12)
openssl genpkey -algorithm ed25519 -outform DER > key.der
note() { { printf '\001'; tail -c 32; } | openssl base64 -A; }
id=$({ printf '%s\n\001' "$name"; openssl pkey -inform DER -in key.der -pubout -outform DER | tail -c 32; } | openssl dgst -sha256 -r | cut -c 1-8)
printf 'PRIVATE+KEY+%s+%s+%s\n%s+%s+%s\n' "$name" "$id" "$(note < key.der)" \
  "$name" "$id" "$(openssl pkey -inform DER -in key.der -pubout -outform DER | note)" > journal_key
rm -f key.der
echo "secrets made in $(pwd)"
