# A test mailbox: one user, cardiologie@ch-test.example, over IMAPS.
FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends dovecot-imapd dovecot-lmtpd && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 5000 --create-home --home-dir /srv/mail vmail
COPY dovecot.conf /etc/dovecot/dovecot.conf
COPY dovecot-start.sh /usr/local/bin/dovecot-start
EXPOSE 993 24
CMD ["sh", "/usr/local/bin/dovecot-start"]
