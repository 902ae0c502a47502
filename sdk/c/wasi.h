/* Declares the imports of wasi:http and of its streams. A function that is not called is not imported. */
#ifndef COINSLOT_WASI_H
#define COINSLOT_WASI_H

#include "internal.h"

#define HTTP "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"
#define POLL "wasi:io/poll@0.2.12"

CS_IMPORT(HTTP, "[method]incoming-request.method") void request_method(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[method]incoming-request.path-with-query") void request_path(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[method]incoming-request.headers") int32_t request_headers(int32_t self);
CS_IMPORT(HTTP, "[method]incoming-request.consume") void request_consume(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[resource-drop]incoming-request") void request_drop(int32_t self);
CS_IMPORT(HTTP, "[method]incoming-body.stream") void incoming_body_stream(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[resource-drop]incoming-body") void incoming_body_drop(int32_t self);
CS_IMPORT(HTTP, "[constructor]fields") int32_t fields_new(void);
CS_IMPORT(HTTP, "[method]fields.entries") void fields_entries(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[method]fields.append")
void fields_append(int32_t self, const char *name, size_t name_size, const char *value, size_t size, cs_area *result);
CS_IMPORT(HTTP, "[resource-drop]fields") void fields_drop(int32_t self);
CS_IMPORT(HTTP, "[constructor]outgoing-response") int32_t response_new(int32_t fields);
CS_IMPORT(HTTP, "[method]outgoing-response.set-status-code") int32_t response_set_status(int32_t self, int32_t status);
CS_IMPORT(HTTP, "[method]outgoing-response.body") void response_body(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[static]response-outparam.set")
void outparam_set(int32_t self, int32_t is_error, int32_t response, int32_t a, int64_t b, int32_t c, int32_t d,
                  int32_t e, int32_t f);
CS_IMPORT(HTTP, "[method]outgoing-body.write") void outgoing_body_write(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[static]outgoing-body.finish")
void outgoing_body_finish(int32_t self, int32_t has_trailers, int32_t trailers, cs_area *result);
CS_IMPORT(HTTP, "[resource-drop]outgoing-body") void outgoing_body_drop(int32_t self);

CS_IMPORT(HTTP, "[constructor]outgoing-request") int32_t outgoing_request_new(int32_t fields);
CS_IMPORT(HTTP, "[method]outgoing-request.set-method")
int32_t outgoing_request_set_method(int32_t self, int32_t kind, const char *other, size_t size);
CS_IMPORT(HTTP, "[method]outgoing-request.set-scheme")
int32_t outgoing_request_set_scheme(int32_t self, int32_t is_some, int32_t kind, const char *other, size_t size);
CS_IMPORT(HTTP, "[method]outgoing-request.set-authority")
int32_t outgoing_request_set_authority(int32_t self, int32_t is_some, const char *authority, size_t size);
CS_IMPORT(HTTP, "[method]outgoing-request.set-path-with-query")
int32_t outgoing_request_set_path(int32_t self, int32_t is_some, const char *path, size_t size);
CS_IMPORT(HTTP, "[method]outgoing-request.body") void outgoing_request_body(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[resource-drop]outgoing-request") void outgoing_request_drop(int32_t self);
CS_IMPORT("wasi:http/outgoing-handler@0.2.12", "handle")
void outgoing_handle(int32_t request, int32_t has_options, int32_t options, cs_area *result);
CS_IMPORT(HTTP, "[method]future-incoming-response.subscribe") int32_t future_subscribe(int32_t self);
CS_IMPORT(HTTP, "[method]future-incoming-response.get") void future_get(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[resource-drop]future-incoming-response") void future_drop(int32_t self);
CS_IMPORT(HTTP, "[method]incoming-response.status") int32_t incoming_response_status(int32_t self);
CS_IMPORT(HTTP, "[method]incoming-response.headers") int32_t incoming_response_headers(int32_t self);
CS_IMPORT(HTTP, "[method]incoming-response.consume") void incoming_response_consume(int32_t self, cs_area *result);
CS_IMPORT(HTTP, "[resource-drop]incoming-response") void incoming_response_drop(int32_t self);

CS_IMPORT(STREAMS, "[method]input-stream.blocking-read") void input_read(int32_t self, int64_t most, cs_area *result);
CS_IMPORT(STREAMS, "[resource-drop]input-stream") void input_drop(int32_t self);
CS_IMPORT(STREAMS, "[method]output-stream.check-write") void output_check(int32_t self, cs_area *result);
CS_IMPORT(STREAMS, "[method]output-stream.write")
void output_write(int32_t self, const char *data, size_t size, cs_area *result);
CS_IMPORT(STREAMS, "[method]output-stream.blocking-flush") void output_flush(int32_t self, cs_area *result);
CS_IMPORT(STREAMS, "[method]output-stream.subscribe") int32_t output_subscribe(int32_t self);
CS_IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(int32_t self);
CS_IMPORT("wasi:io/error@0.2.12", "[resource-drop]error") void io_error_drop(int32_t self);
CS_IMPORT(POLL, "[method]pollable.block") void pollable_block(int32_t self);
CS_IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(int32_t self);

/* http.c: the methods in the order of `method`. */
extern const char *const cs_methods[9];

/* streams.c */
bool cs_stream_read(int32_t stream, cs_slice *piece);
bool cs_stream_write(int32_t stream, const char *data, size_t size);

#endif
