/* Included before every file by `make analyze`: what cppcheck 2.10 does not find in headers of the system, or
 * does not know. Nothing is built with it. */
#define __VA_OPT__(...) __VA_ARGS__
#define LIBBPF_OPTS(type, name, ...) struct type name = { __VA_ARGS__ }
#define json_array_foreach(array, index, value) \
	for ((index) = 0; (index) < json_array_size(array) && ((value) = json_array_get(array, index)); \
	     (index)++)
#define json_object_foreach(object, key, value)                                                 \
	for ((key) = json_object_iter_key(json_object_iter(object));                            \
	     (key) && ((value) = json_object_iter_value(json_object_key_to_iter(key)));         \
	     (key) = json_object_iter_key(json_object_iter_next(object, json_object_key_to_iter(key))))
