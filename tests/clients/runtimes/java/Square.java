import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;

/** One call by OkHttp. Usage: Square [ROOTS]. Prints the call's total of tokens. */
final class Square {
    public static void main(String[] arguments) throws Exception {
        OkHttpClient.Builder client = new OkHttpClient.Builder();
        if (arguments.length > 0) {
            Roots roots = new Roots(arguments[0]);
            client.sslSocketFactory(roots.context.getSocketFactory(), roots.trust);
        }
        Request request =
                new Request.Builder()
                        .url(Roots.URL)
                        .header("Authorization", "Bearer test-0123456789")
                        .post(RequestBody.create(MediaType.parse("application/json"), Roots.BODY))
                        .build();
        Roots.say(client.build().newCall(request).execute().body().string());
        System.exit(0);
    }
}
