"""Exits with 0 when some EGL device opens: what rendering without a screen needs."""

import ctypes

EGL_PLATFORM_DEVICE_EXT = 0x313F

egl = ctypes.CDLL("libEGL.so.1")
egl.eglGetProcAddress.restype = ctypes.c_void_p
egl.eglGetProcAddress.argtypes = [ctypes.c_char_p]
egl.eglInitialize.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]


def extension(name, result, *arguments):
    return ctypes.CFUNCTYPE(result, *arguments)(egl.eglGetProcAddress(name))


query_devices = extension(
    b"eglQueryDevicesEXT", ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
)
get_display = extension(
    b"eglGetPlatformDisplayEXT", ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p
)

devices = (ctypes.c_void_p * 16)()
count = ctypes.c_int()
assert query_devices(len(devices), devices, ctypes.byref(count)), "no EGL devices"
displays = [get_display(EGL_PLATFORM_DEVICE_EXT, device, None) for device in devices[: count.value]]
assert any(egl.eglInitialize(display, None, None) for display in displays), "no EGL device opens"
