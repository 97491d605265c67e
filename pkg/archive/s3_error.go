package archive

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// status returns the HTTP status that the server answered with, 0 when it did
// not answer.
func status(err error) int {
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return r.StatusCode
	}
	return 0
}

// fault gives an error of the S3 client the name that every driver uses. What is
// about one object (404, 412, a refused checksum, a bad request) stays what it is.
// Everything about the server, the way to it or the right to use it is
// ErrUnavailable: a person mends it, then the same call works.
func fault(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
		return err
	}
	r, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok { // no answer, or one that is not S3
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	switch r.Code { // some servers send a status that does not fit the code
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "RequestTimeTooSkewed", "ExpiredToken", "RequestTimeout", "AuthorizationHeaderMalformed", "InvalidTokenId", "PermanentRedirect":
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, r.Code, err)
	}
	switch {
	case r.Code == "NoSuchKey", r.Code == "NoSuchVersion":
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case r.StatusCode == http.StatusNotFound: // something else is missing: a bucket, a user, a setting
		return fmt.Errorf("%w: %s (HTTP %d): %w", ErrUnavailable, r.Code, r.StatusCode, err)
	case r.StatusCode >= 500, r.StatusCode < 400, r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden,
		r.StatusCode == http.StatusRequestTimeout, r.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s (HTTP %d): %w", ErrUnavailable, r.Code, r.StatusCode, err)
	}
	return fmt.Errorf("%s (HTTP %d): %w", r.Code, r.StatusCode, err)
}
