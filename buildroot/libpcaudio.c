/* Stands in for libpcaudio.so.0, which libespeak-ng names for a sound output that no node uses: the agent asks it for
   samples and plays them itself. Debian's own would bring PulseAudio, D-Bus and X11 into the image.
   There is never a device, so everything else is called by nobody; it answers ENODEV all the same. */

#include <stddef.h>
#include <stdint.h>

enum { NO_DEVICE = 19 };

struct audio_object;

struct audio_object *create_audio_device_object(const char *device, const char *application, const char *description)
{
    (void)device, (void)application, (void)description;
    return NULL;
}

int audio_object_open(struct audio_object *object, int format, uint32_t rate, uint8_t channels)
{
    (void)object, (void)format, (void)rate, (void)channels;
    return NO_DEVICE;
}

void audio_object_close(struct audio_object *object)
{
    (void)object;
}

void audio_object_destroy(struct audio_object *object)
{
    (void)object;
}

int audio_object_write(struct audio_object *object, const void *data, size_t bytes)
{
    (void)object, (void)data, (void)bytes;
    return NO_DEVICE;
}

int audio_object_drain(struct audio_object *object)
{
    (void)object;
    return NO_DEVICE;
}

int audio_object_flush(struct audio_object *object)
{
    (void)object;
    return NO_DEVICE;
}

const char *audio_object_strerror(struct audio_object *object, int error)
{
    (void)object, (void)error;
    return "this image plays no sound through espeak-ng";
}
