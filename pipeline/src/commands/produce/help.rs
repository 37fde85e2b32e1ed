//! What `facestream produce --help` teaches below the list of options.

pub(super) const UPLOAD: &str =
    "Upload pictures here and send their addresses: s3://bucket/prefix, gs://…, az://…, file:///folder";

pub(super) const EXAMPLES: &str = "Pictures:
  facestream produce --topic frames photos/               every image below a folder
  facestream produce --topic frames 'photos/**/*.jpg'     what a pattern matches
  ls -tr *.jpg | facestream produce --topic frames -      a list of files on stdin
  facestream produce --cameras 8 --fps 25 --loop photos/
      eight cameras with 25 pictures a second each, until Ctrl-C
  facestream produce --quality 70 --max-side 1280 photos/
      encoded anew, as JPEGs of at most 1280 pixels

Without a camera:
  facestream produce --fps 5 scene:8                      eight virtual cameras with people who come and go, until Ctrl-C

Video files and cameras (need a build with `--features video`, that is OpenCV):
  facestream produce --as-recorded north.mp4 south.mp4    two cameras, north and south, in the time of the recordings
  facestream produce --fps 5 --loop clip.mkv              every frame, five a second, over and over
  facestream produce --fps 10 /dev/video0                 a camera; frames beyond ten a second are left out
  facestream produce 'rtsp://user:password@10.0.0.7/live' a network camera

HTTP cameras (MJPEG: multipart/x-mixed-replace):
  facestream produce --source-id door http://10.0.0.7/video.mjpg
  facestream produce --attempts 0 http://cam1/mjpg http://cam2/mjpg
      two cameras, each tried again for ever when it is away

Other messages:
  facestream produce --envelope cloudevents photos/       also json, msgpack
  facestream produce --upload s3://pictures/today photos/ pictures to S3, only their addresses to Kafka
  facestream produce --header site=north --count 100 photos/

A file that is named is sent whatever it holds; of folders and patterns only images, told by their first bytes.
Pictures come from one camera, camera-000, or as many as --cameras says. A video file is named after its file, other cameras are
camera-000, camera-001 … in their order; --source-id gives one another name, and several a common beginning.
capture_ts_ns is the time of sending; with --as-recorded it is the start plus the frame's position in the file, or the camera's own
time (X-Timestamp) and else that of its arrival.
--upload takes its access from [fetch.options], or from [store.options] where the store is of the same kind.
Exits with 1 if anything could not be read or was not delivered, with 2 if it cannot be done as given.";
