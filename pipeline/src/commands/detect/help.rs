//! What `facestream detect --help` teaches below the list of options.

pub(super) const EXAMPLES: &str = "Examples:
  facestream detect photo.jpg                             the faces in a picture
  facestream detect photos/ 'more/**/*.png'               every image below a folder, and what a pattern matches
  find . -name '*.jpg' | facestream detect -              a list of files on stdin
  facestream detect https://host/a.jpg s3://bucket/b.jpg  pictures that lie elsewhere
  facestream detect --detector haar photo.jpg             with OpenCV's cascade
  facestream detect --out marked photos/                  copies with green rectangles, in the folder marked
  facestream detect --out hidden --annotate blur photos/  copies with every face that was found made unrecognisable
  facestream detect --out marked --line 8 --text 40 --colour '#ff8000' photo.jpg

For programs:
  facestream detect --format json photos/ | jq -c .       one line a picture
  facestream detect --format parquet --output faces.parquet photos/
      one row a face: duckdb -c \"SELECT file, count(*) FROM 'faces.parquet' GROUP BY ALL\"

Through a pipeline that runs somewhere (kafka.brokers, kafka.topics and events.topic here as they are there):
  facestream detect --via-kafka photo.jpg                 send it, wait for the event, print it
  facestream detect --via-kafka --upload s3://bucket/tries --timeout 1m photo.jpg
  facestream detect --via-kafka --inline photo.jpg        the picture in the message itself

A file that is named is looked at whatever it holds; of folders and patterns only images, told by their first bytes.
Columns and fields have the names and units of the table `detections`; x, y, w and h are pixels of the upright picture.
Of the configuration [detector], [haar], [tiles], [workers], [envelope] max_pixels and, for addresses, [fetch] count; none is needed.
A copy has its picture's name, with .jpg behind it if that does not end in .png, .jpg or .jpeg; where two would have the same, they keep
their folders. It holds nothing of the original but its pixels. No input is ever written over. A face that is not found is not hidden.
--via-kafka leaves what any picture leaves: its rows in the pipeline's tables, under the source `detect` (--source-id), and, unless
it went in the message, the uploaded file. It goes to --upload, else to the first store or folder in fetch.allow, else in the message.

Exit codes: 0 done, 1 a picture could not be looked at (the others are printed), 2 usage or configuration.";
