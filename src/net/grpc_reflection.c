// SPDX-License-Identifier: Apache-2.0
/*
 * Server reflection. Descriptor sets are walked on the wire (field numbers of
 * google/protobuf/descriptor.proto): nobody asks often enough for an index.
 */
#include "net/grpc_reflection.h"

#include "base/mem.h"
#include "net/pb.h"
#include "reflection.desc.h"
#include "reflection.pb-c.h"
#include "reflection_v1alpha.desc.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_t;

enum { FILES_IN_SET = 1 };
enum { FILE_NAME = 1, FILE_PACKAGE = 2, FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SERVICE = 6 };
enum { ANY_NAME = 1, MESSAGE_FIELD = 2, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4, SERVICE_METHOD = 2 };

static struct str field_of(struct str bytes, uint32_t number) {
    struct pb_reader r = pb_reader_of(bytes);
    struct pb_field f;
    while (pb_next(&r, &f) > 0)
        if (f.number == number && f.wire == PB_BYTES)
            return f.bytes;
    return (struct str){0};
}

// Takes "NAME" or "NAME." off the front of *path: true when NAME was there, whole.
static bool take_name(struct str *path, struct str name) {
    if (name.n == 0 || path->n < name.n || memcmp(path->p, name.p, name.n) != 0)
        return false;
    if (path->n > name.n && path->p[name.n] != '.')
        return false;
    size_t n = path->n > name.n ? name.n + 1 : name.n;
    path->p += n;
    path->n -= n;
    return true;
}

static bool message_defines(struct str message, struct str path) {
    struct pb_reader r = pb_reader_of(message);
    struct pb_field f;
    if (!take_name(&path, field_of(message, ANY_NAME)))
        return false;
    if (path.n == 0)
        return true;
    while (pb_next(&r, &f) > 0) {
        if (f.number == MESSAGE_NESTED && message_defines(f.bytes, path))
            return true;
        if ((f.number == MESSAGE_FIELD || f.number == MESSAGE_ENUM) &&
            str_eq(field_of(f.bytes, ANY_NAME), path))
            return true;
    }
    return false;
}

static bool service_defines(struct str service, struct str path) {
    struct pb_reader r = pb_reader_of(service);
    struct pb_field f;
    if (!take_name(&path, field_of(service, ANY_NAME)))
        return false;
    if (path.n == 0)
        return true;
    while (pb_next(&r, &f) > 0)
        if (f.number == SERVICE_METHOD && str_eq(field_of(f.bytes, ANY_NAME), path))
            return true;
    return false;
}

static bool file_defines(struct str file, struct str symbol) {
    struct str package = field_of(file, FILE_PACKAGE);
    struct pb_reader r = pb_reader_of(file);
    struct pb_field f;
    if (package.n > 0 && !take_name(&symbol, package))
        return false;
    while (pb_next(&r, &f) > 0) {
        if ((f.number == FILE_MESSAGE && message_defines(f.bytes, symbol)) ||
            (f.number == FILE_SERVICE && service_defines(f.bytes, symbol)) ||
            (f.number == FILE_ENUM && str_eq(field_of(f.bytes, ANY_NAME), symbol)))
            return true;
    }
    return false;
}

struct str grpc_reflection_find(const struct grpc_reflection *r, struct str name, bool by_symbol) {
    for (const struct grpc_service *const *s = r->services; *s; s++) {
        struct pb_reader set = {(*s)->descriptor_set,
                                (*s)->descriptor_set + (*s)->descriptor_set_len};
        struct pb_field f;
        if (!(*s)->descriptor_set)
            continue;
        while (pb_next(&set, &f) > 0) {
            if (f.number == FILES_IN_SET &&
                (by_symbol ? file_defines(f.bytes, name)
                           : str_eq(field_of(f.bytes, FILE_NAME), name)))
                return f.bytes;
        }
    }
    return (struct str){0};
}

static void send_answer(struct grpc_call *call, const response_t *answer) {
    if (grpc_call_send(call, &answer->base) < 0)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the client does not read");
}

static void send_error(struct grpc_call *call, response_t *answer, int status, const char *what) {
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    char text[300];
    snprintf(text, sizeof(text), "not found: %.250s", what);
    error.has_error_code = true;
    error.error_code = status;
    error.error_message = text;
    answer->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    answer->error_response = &error;
    send_answer(call, answer);
}

static void send_file(struct grpc_call *call, response_t *answer, const struct grpc_reflection *r,
                      const char *name, bool by_symbol) {
    struct str file = grpc_reflection_find(r, str_from(name), by_symbol);
    if (!file.p) {
        send_error(call, answer, GRPC_NOT_FOUND, name);
        return;
    }
    Grpc__Reflection__V1__FileDescriptorResponse files =
        GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    union { // protobuf-c's bytes are not const; packing only reads them
        const char *in;
        uint8_t *out;
    } p = {.in = file.p};
    ProtobufCBinaryData bytes = {file.n, p.out};
    files.n_file_descriptor_proto = 1;
    files.file_descriptor_proto = &bytes;
    answer->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    answer->file_descriptor_response = &files;
    send_answer(call, answer);
}

static void send_services(struct grpc_call *call, response_t *answer,
                          const struct grpc_reflection *r) {
    enum { SERVICES_MAX = 32 };
    Grpc__Reflection__V1__ListServiceResponse list =
        GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    Grpc__Reflection__V1__ServiceResponse service[SERVICES_MAX], *services[SERVICES_MAX];
    union {
        const char *in;
        char *out;
    } name;
    for (const struct grpc_service *const *s = r->services; *s && list.n_service < SERVICES_MAX;
         s++) {
        size_t i = list.n_service++;
        grpc__reflection__v1__service_response__init(&service[i]);
        name.in = (*s)->name;
        service[i].name = name.out;
        services[i] = &service[i];
    }
    list.service = services;
    answer->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    answer->list_services_response = &list;
    send_answer(call, answer);
}

static void send_extension_numbers(struct grpc_call *call, response_t *answer,
                                   const struct grpc_reflection *r, char *type) {
    if (!grpc_reflection_find(r, str_from(type), true).p) {
        send_error(call, answer, GRPC_NOT_FOUND, type);
        return;
    }
    Grpc__Reflection__V1__ExtensionNumberResponse none =
        GRPC__REFLECTION__V1__EXTENSION_NUMBER_RESPONSE__INIT;
    none.base_type_name = type;
    answer->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    answer->all_extension_numbers_response = &none;
    send_answer(call, answer);
}

static void reflect(struct grpc_call *call, const ProtobufCMessage *request, void *ctx) {
    const struct grpc_reflection *r = ctx;
    if (!request) {
        grpc_call_finish(call, GRPC_OK, NULL);
        return;
    }
    request_t asked = *(const request_t *)request;
    response_t answer = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    answer.valid_host = asked.host;
    answer.original_request = &asked;
    switch (asked.message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        send_file(call, &answer, r, asked.file_by_filename, false);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        send_file(call, &answer, r, asked.file_containing_symbol, true);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        send_error(call, &answer, GRPC_NOT_FOUND, "extension");
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        send_extension_numbers(call, &answer, r, asked.all_extension_numbers_of_type);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        send_services(call, &answer, r);
        break;
    default:
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the request asks nothing");
        break;
    }
}

static const struct grpc_method methods[] = {
    {.name = "ServerReflectionInfo",
     .request = &grpc__reflection__v1__server_reflection_request__descriptor,
     .streams = true,
     .client_streams = true,
     .handle = reflect},
};

void grpc_reflection_init(struct grpc_reflection *r, const struct grpc_service *const *services) {
    r->services = services;
    r->own[0] = (struct grpc_service){
        .name = "grpc.reflection.v1.ServerReflection",
        .methods = methods,
        .n_methods = COUNT_OF(methods),
        .ctx = r,
        .descriptor_set = reflection_desc,
        .descriptor_set_len = sizeof(reflection_desc),
    };
    r->own[1] = r->own[0];
    r->own[1].name = "grpc.reflection.v1alpha.ServerReflection";
    r->own[1].descriptor_set = reflection_v1alpha_desc;
    r->own[1].descriptor_set_len = sizeof(reflection_v1alpha_desc);
}
