ARG BUILD_IMAGE=golang:1.26-bookworm
FROM ${BUILD_IMAGE} AS build
RUN CGO_ENABLED=0 go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
FROM debian:12-slim
COPY --from=build /go/bin/versitygw /usr/local/bin/versitygw
RUN mkdir -p /data/buckets /data/versions
EXPOSE 7070
CMD ["versitygw", "--port", ":7070", "--health", "/healthz", "--quiet", "posix", "--versioning-dir", "/data/versions", "/data/buckets"]
