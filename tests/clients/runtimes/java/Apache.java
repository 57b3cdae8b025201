import org.apache.http.client.methods.HttpPost;
import org.apache.http.entity.ContentType;
import org.apache.http.entity.StringEntity;
import org.apache.http.impl.client.HttpClientBuilder;
import org.apache.http.util.EntityUtils;

/** One call by Apache HttpClient. Usage: Apache [ROOTS]. Prints the call's total of tokens. */
final class Apache {
    public static void main(String[] arguments) throws Exception {
        HttpClientBuilder client = HttpClientBuilder.create().useSystemProperties();
        if (arguments.length > 0) {
            client.setSSLContext(new Roots(arguments[0]).context);
        }
        HttpPost request = new HttpPost(Roots.URL);
        request.setHeader("Authorization", "Bearer test-0123456789");
        request.setEntity(new StringEntity(Roots.BODY, ContentType.APPLICATION_JSON));
        Roots.say(EntityUtils.toString(client.build().execute(request).getEntity()));
    }
}
