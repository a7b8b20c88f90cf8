/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the device model, a shared library, so that a change of the model never rebuilds QEMU.
 * In this order: the property "model", the environment variable NPU_MODEL, libnpu-model.so beside
 * this program.
 */
#include "npu.h"
#include <dlfcn.h>

#define NPU_MODEL_NAME "libnpu-model.so"

static char *npu_model_beside_us(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *dir = self ? g_path_get_dirname(self) : g_strdup(".");

    return g_build_filename(dir, NPU_MODEL_NAME, NULL);
}

const struct npu_model_api *npu_load_model(const char *path, Error **errp)
{
    g_autofree char *found = NULL;
    const struct npu_model_api *api;
    typeof(npu_model_get_api) *get_api;
    void *library;

    if (path && *path) {
        found = g_strdup(path);
    } else if (g_getenv("NPU_MODEL")) {
        found = g_strdup(g_getenv("NPU_MODEL"));
    } else {
        found = npu_model_beside_us();
    }
    /* Never closed: its code may still be on some thread's stack, and one copy serves all devices.
     */
    library = dlopen(found, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        error_setg(errp, "the device model \"%s\" cannot be loaded: %s", found, dlerror());
        error_append_hint(
            errp, "Name %s by the property \"model\" or by the environment variable NPU_MODEL.\n",
            NPU_MODEL_NAME);
        return NULL;
    }
    get_api = dlsym(library, "npu_model_get_api");
    if (!get_api) {
        error_setg(errp, "\"%s\" is no NPU device model: it does not export npu_model_get_api",
                   found);
        return NULL;
    }
    api = get_api(NPU_MODEL_ABI);
    if (!api || api->abi != NPU_MODEL_ABI) {
        error_setg(errp, "the device model \"%s\" does not speak version %u of the interface",
                   found, NPU_MODEL_ABI);
        error_append_hint(
            errp, "QEMU and the model must come from the same sources: build both again.\n");
        return NULL;
    }
    return api;
}
